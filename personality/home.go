package personality

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// getHome tells a person with a browser where they are.
func (s *Service) getHome(w http.ResponseWriter, r *http.Request) error {
	cp := s.Log.Published().Checkpoint
	p := s.InForce()
	body := fmt.Sprintf(`conmotion: a SCITT Transparency Service (RFC 9943)

issuer   %s
log      %s
entries  %d
root     %x
policy   entry %d, %s

POST /entries                      register a Signed Statement (application/cose)
GET  /entries/{id}                 its Receipt; {id} is an entry id or a leaf index
GET  /entries/{id}/statement       the Transparent Statement
GET  /entries/{id}/proof           the proof as a C2SP tlog-proof
GET  /entries?from=N&limit=M       Transparent Statements, as a CBOR sequence
GET  /.well-known/scitt-keys       the keys that sign Receipts
GET  /.well-known/transparency-configuration
GET  /checkpoint, /tile/...        the log itself, as static files (C2SP tlog-tiles)
`, s.Issuer, cp.Origin, cp.Size, cp.Root, p.Index, p.ID)
	for _, path := range slices.Sorted(maps.Keys(s.Adjacent)) {
		body += fmt.Sprintf("%-34s Adjacent Service, see the operator's guide\n", path+"...")
	}
	return s.publish(w, r, "text/plain; charset=utf-8", []byte(body))
}
