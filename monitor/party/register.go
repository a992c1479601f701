package party

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// Draft is what is to be registered: a statement that is signed, or content of
// which the issuer has to make one.
type Draft struct {
	// signed is a Signed Statement. Of the rest only file and written count then.
	signed []byte
	// file, when not nil, reads the Transparent Statement of the n-th signature, from
	// 0, that an earlier run wrote. A service that vouches for it is not asked again.
	file func(n int) ([]byte, error)
	// written, when not nil, is told of each copy that got a Receipt, before the
	// statement goes to the next service.
	written func(n int, c Copy) error

	Content []byte
	// Subject, ContentType and Type are set. With Hash the content was stored as an
	// artifact by storeAll, else it is in the statement itself.
	Options scitt.SignOptions
	// OrHash stores the content and signs its hash when it does not fit into an entry.
	OrHash bool
	// Chain is the name of the chain that the statement continues. When it is "",
	// that is what stands before the subject's first slash if the policy in force
	// requires a chain, and else none.
	Chain string
	// after is the statement that it comes after where the issuer has no such chain: the
	// handover of somebody else's.
	after *scitt.Head
	// Words identify what is said when the content may differ at a second attempt,
	// as by an embedded time: until [Outcome.Done] the same Words register the statement
	// that was signed first. Without Words the content identifies it, and what the log has
	// is not registered again.
	Words []string
	// Event is what the content says, where it is a record: see [RegistrarOptions.Holds].
	Event *monitor.Event

	refused error      // by the artifact storage
	hashed  contentKey // key, where it was made before
}

// key is what makes it the same content.
func (d Draft) key() contentKey {
	if d.hashed != (contentKey{}) {
		return d.hashed
	}
	return newContentKey(d.Options.Type, sha256.Sum256(d.Content))
}

func (d Draft) words() string {
	if d.Words == nil {
		return ""
	}
	return hashName(fmt.Sprintf("%q", d.Words))
}

// Result is what became of a draft at a service.
type Result string

// The results of drafts.
const (
	Unreached  Result = ""           // nothing was done about it
	Registered Result = "registered" // now
	Known      Result = "known"      // the log had it before
	Refused    Result = "refused"    // by the service, or by the artifact storage
	Unchanged  Result = "unchanged"  // it says nothing that the log does not say: not registered
	Late       Result = "late"       // it is older than what the log says: not registered
	Failed     Result = "failed"     // the same again may succeed
)

// Outcome is what became of a draft.
type Outcome struct {
	At []At // by service
	// Copies are the statement with its Receipts, one for each signature that a log
	// has, that of the first service first. Where a log knew it already,
	// [Registrar.Read] completes them.
	Copies []Copy
	// Resumed reports that an earlier run signed it and was interrupted.
	Resumed bool

	file string // in the journal
}

// At is what became of a draft at one service.
type At struct {
	Result   Result
	Ref      monitor.EntryRef // of Registered and Known; without Origin when nothing says where it is
	Location string           // URL of the Receipt, of Registered
	other    bool             // the log has another signature than the statement that came signed
	Copy     int              // which of the copies this log has
	err      error            // of Refused, Late and Failed

	copied bool // its Receipt is in the copies
}

// Err is the first error of a service about it.
func (o Outcome) Err() error {
	for _, at := range o.At {
		if at.err != nil {
			return at.err
		}
	}
	return nil
}

// Done ends a draft with Words: the same Words are another statement from now on.
func (o Outcome) Done() error { return forget(o.file) }

func (o *Outcome) registered(n int, s *service, r registered) {
	o.At[n] = At{Result: Registered, Ref: r.ref, Location: r.location, copied: true}
	o.Copies, o.At[n].Copy = add(o.Copies, s, r)
}

// Register registers drafts with the services, in order, and returns an outcome for
// each draft. At a service it stops at the first draft that is refused, unless KeepGoing is
// set. After an error the same drafts continue where this call ended.
//
// Without a Key each service gets each signed statement, whatever the others do. Such
// calls are safe for concurrent use.
//
// With a Key the first service gets each content once, and the others get what the first
// log has, in its order. Statements are signed in the order of their chains, as many as are
// sent at a time, and kept in Home until their Receipts are there; with Words until
// [Outcome.Done]. A crash leaves them there, and the next call sends these bytes first,
// so nothing is registered twice. When another writer of the chain was faster, the rest
// is signed again. The chain is that of the first log: another log that requires the whole
// chain must have all of it.
func (r *Registrar) Register(ctx context.Context, drafts []Draft) (outcomes []Outcome, err error) {
	for range drafts {
		outcomes = append(outcomes, Outcome{At: make([]At, len(r.services))})
	}
	if r.key == nil {
		return outcomes, r.each(ctx, drafts, outcomes)
	}
	home := r.services[0]
	if r.begun && home.said != nil && len(r.services) == 1 && r.allKnown(drafts, outcomes) {
		return outcomes, nil
	}
	done, err := r.options.Home.turn(ctx, home.log.Key(), r.Issuer)
	if err != nil {
		return outcomes, err
	}
	defer done()
	if err := r.begin(ctx, drafts, outcomes); err != nil {
		return outcomes, err
	}
	r.begun = true
	err = r.record(ctx, drafts, outcomes)
	for n := 1; n < len(r.services); n++ {
		// While it is not known what the first log has, nothing is forgotten.
		if alsoErr := r.forward(ctx, n, drafts, outcomes, err == nil); alsoErr != nil {
			err = errors.Join(err, fmt.Errorf("not everything that is in the log at %s is in the one at %s yet; run it again: %w", home.url, r.services[n].url, alsoErr))
		}
	}
	if err == nil && time.Since(r.saved) > saveEvery {
		r.saved = time.Now()
		err = home.save(ctx)
	}
	return outcomes, err
}

// allKnown reports whether the first log has all the drafts as far as it was read, and fills in which it has.
func (r *Registrar) allKnown(drafts []Draft, outcomes []Outcome) bool {
	home, all := r.services[0], true
	for i, d := range drafts {
		p, ok := home.said.find(d.key())
		if all = all && ok && d.Words == nil; ok && d.Words == nil {
			outcomes[i].At[0] = At{Result: Known, Ref: home.ref(p)}
		}
	}
	return all
}

// saveEvery bounds what a command that is ended by force has to read again.
const saveEvery = 20 * time.Second

// each registers signed statements with each service.
func (r *Registrar) each(ctx context.Context, drafts []Draft, outcomes []Outcome) (err error) {
	statements := make([]signed, len(drafts))
	for i, d := range drafts {
		// The service judges it.
		st, err := scitt.DecodeStatement(d.signed)
		if err != nil {
			return err
		}
		statements[i] = signed{st, d.signed}
		if d.file != nil {
			outcomes[i].Copies = r.have(st, d.file)
		}
	}
	for n := range r.services {
		err = errors.Join(err, r.ready(ctx, n, drafts, statements, outcomes))
	}
	return err
}

// ready registers signed statements with one service.
func (r *Registrar) ready(ctx context.Context, n int, drafts []Draft, statements []signed, outcomes []Outcome) error {
	s := r.services[n]
	var items []item
	for i, st := range statements {
		o := &outcomes[i]
		at := slices.IndexFunc(o.Copies, func(c Copy) bool {
			return slices.ContainsFunc(c.receipts, func(receipt []byte) bool { return s.vouches(c.Statement, receipt) })
		})
		if at < 0 {
			items = append(items, item{st, i})
			continue
		}
		o.At[n] = At{Result: Known, Copy: at, Ref: monitor.EntryRef{EntryID: st.ID().String()}, copied: true}
		o.At[n].other = !bytes.Equal(o.Copies[at].Statement.Entry(), st.Entry())
	}
	done := 0
	took := func(it item, reg registered) error {
		o, d := &outcomes[it.draft], drafts[it.draft]
		if d.written != nil {
			s.second(ctx, &reg)
		}
		o.registered(n, s, reg)
		at := &o.At[n]
		at.other = !bytes.Equal(reg.Entry(), it.Entry())
		if d.written != nil {
			if err := d.written(at.Copy, o.Copies[at.Copy]); err != nil {
				return err
			}
		}
		done++
		return nil
	}
	skip := func(it item, err error) bool {
		outcomes[it.draft].At[n] = At{Result: Refused, err: err}
		done++
		return r.KeepGoing
	}
	err := s.pass(ctx, items, took, skip)
	if err != nil {
		outcomes[items[done].draft].At[n] = At{Result: Failed, err: err}
	}
	return err
}
