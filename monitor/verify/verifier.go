package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// Log is one log whose Receipts count.
type Log struct {
	Name string       // as the party calls it
	Keys witness.Keys // of its Receipts
	// Saved says that Keys were saved some time ago: the log may have others by now.
	Saved bool
	// Files are the log as it is now, opened with [party.Options.Examine]; nil when
	// there are none, and then it is only the Receipts that say what the log holds.
	Files *party.Log
}

// Statement is a Transparent Statement, with Receipts that it does not carry itself.
type Statement struct {
	Data     []byte
	Receipts [][]byte
}

// Verifier has what a Relying Party trusts, and what it holds statements to.
type Verifier struct {
	// Statements says whose key counts as an issuer's, what logs hash, and at what time
	// a statement is judged. Its LogKeys are not used: see Add.
	Statements scitt.Verifier
	Roots      bool // Statements.Anchors have roots of x5chain
	// Threshold is how many of the logs have to vouch; 0 is for one log at most.
	Threshold int
	// PostQuantum demands a Receipt by an ML-DSA-44 key of the log, or with a Threshold of
	// as many logs.
	PostQuantum bool
	// Search reads all tiles of a log for a statement that has no Receipt of it.
	Search  bool
	Content Content
	// Options say what is demanded of witnesses ([party.Options.PolicyFor]), how old
	// their cosignatures may be, and who is told what a person should know.
	Options party.Options
	// Searched, when not nil, is told how many entries Search has looked at.
	Searched func(done, size uint64)

	logs        []Log
	unreachable []unreachable
}

type unreachable struct {
	name string
	err  error
}

// Add adds a log. err is why it could not be opened, or nil. Where a Threshold is to be
// reached, a log that is out of reach does not vouch, which Verify says. Every other
// error is returned: one that speaks against the log, a file of it that is missing, and
// keys that are not its own.
func (v *Verifier) Add(l Log, err error) error {
	switch {
	case err == nil:
		v.logs = append(v.logs, l)
		return nil
	case v.Threshold == 0, party.Refutes(err), isMissing(err), errors.Is(err, party.ErrVKeys), errors.Is(err, party.ErrDamaged):
		return err
	}
	v.unreachable = append(v.unreachable, unreachable{l.Name, err})
	return nil
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// Result is what was found about a statement.
type Result struct {
	Verified bool              `json:"verified"`
	Error    string            `json:"error,omitempty"`
	EntryID  string            `json:"entry_id,omitempty"`
	Issuer   string            `json:"issuer,omitempty"`
	Subject  string            `json:"subject,omitempty"`
	Signed   string            `json:"issued_at,omitempty"`
	Checks   []witness.Finding `json:"checks"`

	// Verdict is why it is not verified; nil when nothing speaks against it.
	Verdict error `json:"-"`
	// Unsure is why there is no verdict, unless there is a Verdict; nil when there is one.
	Unsure error `json:"-"`
}

func (r *Result) found(check, result, format string, args ...any) {
	r.Checks = append(r.Checks, witness.Finding{Check: check, Result: result, Detail: fmt.Sprintf(format, args...)})
}

func (r *Result) describe(st *scitt.Statement) {
	r.EntryID, r.Issuer, r.Subject, r.Signed = st.ID().String(), st.Issuer, st.Subject, printable.Time(st.IssuedAt)
}

// conclude draws the conclusion, after the last check.
func (r *Result) conclude() *Result {
	err := cmp.Or(r.Verdict, r.Unsure)
	if r.Verified = err == nil; err != nil {
		r.Error = err.Error()
	}
	return r
}

// run is one run of a [Verifier].
type run struct {
	*Verifier
	*Result
	quorum *witness.Quorum // nil without a Threshold
	keys   witness.Keys    // of the one log without a Threshold
	seen   int             // Receipts, over all statements
	held   bool            // the log holds the entry, under a checkpoint that is sound
	// byNow has the logs whose checkpoint of now holds the entry and has its quorum of
	// witnesses, by origin.
	byNow map[string]*witness.Cosigned
}

// Verify makes all checks of a statement. Several are different signatures of one
// content, which different logs may hold, and need a Threshold. The error is about
// what kept the verifier from looking; what was found is in the Result.
func (v *Verifier) Verify(ctx context.Context, statements ...Statement) (*Result, error) {
	r := &run{Verifier: v, Result: &Result{Checks: []witness.Finding{}}, byNow: map[string]*witness.Cosigned{}}
	if err := r.chooseLogs(len(statements)); err != nil {
		return nil, err
	}
	var err error
	if r.Verdict, err = r.verify(ctx, statements); err != nil {
		return nil, err
	}
	return r.conclude(), nil
}

// chooseLogs finds whose Receipts count.
func (r *run) chooseLogs(statements int) error {
	if r.Threshold == 0 {
		if len(r.logs) > 1 || statements > 1 {
			return errors.New("several logs or signatures need a threshold: how many of the logs have to vouch")
		}
		for _, l := range r.logs {
			r.keys = l.Keys
		}
		return nil
	}
	r.quorum = &witness.Quorum{Threshold: r.Threshold}
	for _, l := range r.logs {
		r.quorum.Add(l.Name, l.Keys)
	}
	for _, l := range r.unreachable {
		r.found("log", witness.NotChecked, "%s is out of reach: %v", l.name, l.err)
		r.quorum.Missing = append(r.quorum.Missing, l.name)
	}
	if n := r.quorum.Size(); r.Threshold > n {
		return fmt.Errorf("--quorum %d: only %s named", r.Threshold, plural.Verb(n, "log", "is", "are"))
	}
	return nil
}

func (r *run) verify(ctx context.Context, statements []Statement) (verdict, err error) {
	var outs []*scitt.Verification
	for _, s := range statements {
		out, verdict, err := r.statement(ctx, s)
		if verdict != nil || err != nil {
			return verdict, err
		}
		outs = append(outs, out)
	}
	if r.quorum != nil {
		err = r.counted(ctx, outs)
	} else {
		err = r.current(ctx, r.files(), r.keys, outs)
	}
	if err == nil {
		err = r.witnesses(outs)
	}
	if err != nil {
		return nil, err
	}
	for _, out := range outs {
		if verdict := r.judge(out, len(outs) > 1); verdict != nil {
			return verdict, nil
		}
	}
	if r.PostQuantum {
		r.postQuantum(outs)
	}
	for _, c := range r.Checks {
		if c.Result == witness.Failed {
			return fmt.Errorf("%s: %s", c.Check, c.Detail), nil
		}
	}
	return nil, nil
}

// files is the one log that there is without a Threshold, as it is now.
func (r *run) files() *party.Log {
	for _, l := range r.logs {
		return l.Files
	}
	return nil
}

// soundHelp says what shows that a log holds an entry when a Receipt does not.
const soundHelp = "to know that the log holds the entry, get a fresh receipt (conmotion receipt --log URL --statement FILE), " +
	"have its checkpoint of now prove it (conmotion verify --log URL, or --static with its files), or ask for witnesses (--witness-policy) or for other logs (--quorum)"

// judge says what follows from one of the statements, of which there may be several.
// Where that cannot be told, it is nil, and Unsure has why.
func (r *run) judge(out *scitt.Verification, several bool) error {
	err := out.Err()
	switch {
	case errors.Is(err, scitt.ErrCompromised):
		if r.quorum == nil && !r.held {
			r.Unsure = fmt.Errorf("%w; %s", err, soundHelp)
		}
		return nil
	case r.outdated(out, err):
		r.Unsure = fmt.Errorf("%w; the keys of %s are those that the log had when it was saved; %s", err, r.logs[0].Name, soundHelp)
		return nil
	case several && out.SignatureErr == nil && errors.Is(err, scitt.ErrUnknownKey):
		return nil // none of these logs has this signature: the statement counts for nothing
	}
	return err
}

// postQuantum holds statements to the demand for Receipts by ML-DSA-44 keys. Where they are
// missing there is no verdict: the log may have them.
func (r *run) postQuantum(outs []*scitt.Verification) {
	need, have := max(1, r.Threshold), 0
	if r.quorum != nil {
		for _, l := range r.quorum.Logs {
			if l.PostQuantum {
				have++
			}
		}
	} else {
		for _, v := range outs[0].Receipts {
			if v.Err == nil && v.Receipt.PostQuantum() {
				have = 1
			}
		}
	}
	if have >= need {
		r.found("post-quantum", witness.OK, "%s a receipt by an ML-DSA-44 key that is known", plural.Verb(have, "log", "has", "have"))
		return
	}
	err := fmt.Errorf("receipts by ML-DSA-44 keys that are known: %d, and %d needed; get them with conmotion receipt --log URL --statement FILE --transparent --out FILE, where the log has such a key, and give newer keys where these have none", have, need)
	r.found("post-quantum", witness.NotChecked, "%v", err)
	r.Unsure = cmp.Or(r.Unsure, err)
}

// outdated reports whether all that speaks against a statement is that the saved keys
// have none for its Receipts: they may be older than the key, or newer than a compromise
// of it.
func (r *run) outdated(out *scitt.Verification, err error) bool {
	saved := r.quorum == nil && len(r.logs) == 1 && r.logs[0].Saved
	accepted := out.SignatureErr == nil && out.TimeErr == nil
	unknown := errors.Is(err, scitt.ErrUnknownKey) && !errors.Is(err, scitt.ErrTime)
	return saved && accepted && unknown
}
