package serving

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"github.com/realclientip/realclientip-go"
)

// proxies are the reverse proxies in front of the service that say truly whose
// request they pass on.
type proxies struct {
	networks []net.IPNet
	last     realclientip.Strategy // the last address in X-Forwarded-For that is not one of these
}

const xForwardedFor = "X-Forwarded-For"

// parseProxies reads addresses and networks such as 10.0.0.0/8.
func parseProxies(all []string) (p proxies, err error) {
	if p.networks, err = realclientip.AddressesAndRangesToIPNets(all...); err != nil {
		return p, fmt.Errorf("--trusted-proxies takes addresses and networks such as 10.0.0.0/8: %w", err)
	}
	if p.last, err = realclientip.NewRightmostTrustedRangeStrategy(xForwardedFor, p.networks); err != nil {
		return p, fmt.Errorf("--trusted-proxies: %w", err)
	}
	return p, nil
}

func (p proxies) trust(a netip.Addr) bool {
	for _, network := range p.networks {
		if network.Contains(a.Unmap().AsSlice()) {
			return true
		}
	}
	return false
}

// client is the address and port of whose request it is. What X-Forwarded-For
// and Forwarded (RFC 7239) say counts from a trusted proxy only, and of the
// addresses there the last one that is not a trusted proxy's: those before it
// may be the client's invention. A proxy writes one of the two headers and may
// pass on the other as the client sent it, so where they differ, or one of them
// cannot be understood, neither counts.
func (p proxies) client(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.trust(peer.Addr()) {
		return r.RemoteAddr
	}
	var client netip.Addr
	for _, list := range []string{strings.Join(r.Header[xForwardedFor], ","), forwarded(r.Header["Forwarded"])} {
		if list == "" {
			continue
		}
		if len(list) > maxForwarded {
			return r.RemoteAddr
		}
		addr, err := netip.ParseAddr(p.last.ClientIP(http.Header{xForwardedFor: {list}}, r.RemoteAddr))
		if err != nil || client.IsValid() && client != addr {
			return r.RemoteAddr
		}
		client = addr
	}
	if !client.IsValid() {
		return r.RemoteAddr
	}
	return netip.AddrPortFrom(client, 0).String()
}

// maxForwarded is how many bytes of a header are looked at, which are 100 proxies and more.
const maxForwarded = 4 << 10

// forwardedPair is one parameter of Forwarded, or none, and what comes behind it. In a
// quoted string commas and semicolons are text: the host that a client chose may be there.
//
// RFC 7239 section 4: "forwarded-pair = token "=" value", "value = token / quoted-string".
// Addresses with colons are taken without quotes too.
var forwardedPair = regexp.MustCompile(`^[ \t]*(?:([\w-]+)=("(?:[^"\\]|\\.)*"|[^",; \t]+))?[ \t]*([,;]|$)`)

// forwarded gives what Forwarded headers say as X-Forwarded-For would. It ends at
// what cannot be understood.
func forwarded(headers []string) string {
	rest := strings.Join(headers, ",")
	if rest == "" || len(rest) > maxForwarded {
		return rest
	}
	var list strings.Builder
	for client := ""; ; {
		m := forwardedPair.FindStringSubmatch(rest)
		switch {
		case m == nil:
			return list.String() + "unknown"
		case strings.EqualFold(m[1], "for") && client != "": // RFC 7239 section 4: "MUST NOT occur more than once"
			client = "unknown"
		case strings.EqualFold(m[1], "for"):
			client = strings.Trim(m[2], `"`)
		}
		rest = rest[len(m[0]):]
		switch m[3] {
		case "":
			return list.String() + client
		case ",":
			list.WriteString(client + ",")
			client = ""
		}
	}
}
