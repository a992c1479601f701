package watch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/policy/ocsf"
	"github.com/conmotion/conmotion/witness/audit"
)

const (
	// maxViolations bounds those that one writing of the state can tell.
	maxViolations = 1 << 20
	// maxAuditFiles bounds what is remembered of damaged files.
	maxAuditFiles = 1000
)

// auditFile is the state of the audit. It is written after the book, so it may
// be older, and never newer, than what was told.
func (f *follower) auditFile() string {
	return filepath.Join(f.w.c.State, f.c.Name+".audit.json")
}

// prepareAudit reads what an audit needs beside the log.
func (f *follower) prepareAudit(ctx context.Context) (err error) {
	o := &audit.Options{Since: f.c.Admission.Since, List: maxViolations, Report: f.violation, Save: f.saveAudit}
	if f.c.Artifacts != "" {
		if o.Artifacts, err = f.options.OpenArtifacts(f.c.Artifacts); err != nil {
			return err
		}
	}
	if path := f.c.Admission.Schema; path != "" {
		data, err := plain.ReadInput(ctx, path, maxNamed)
		if err != nil {
			return fmt.Errorf("ocsf_schema: %w", err)
		}
		schema, err := ocsf.Load(bytes.NewReader(data))
		if err != nil {
			return fmt.Errorf("ocsf_schema %s: %w", path, err)
		}
		digest := sha256.Sum256(data)
		o.Policy, o.Schema = []policy.Option{policy.WithSchema(schema, digest)}, hex.EncodeToString(digest[:])
	}
	f.audit = o
	return nil
}

// admission judges the entries that are new.
func (f *follower) admission(ctx context.Context, log *party.Log) error {
	if f.audit == nil {
		return nil
	}
	if f.auditor == nil {
		state, err := audit.ReadState(f.auditFile())
		if err != nil {
			return fmt.Errorf("%w; remove it to audit the log anew", err)
		}
		o := *f.audit
		o.VKeys = log.VKeys
		if f.auditor, err = audit.New(log.Files, state, o); err != nil {
			return err
		}
	}
	f.stopped = ""
	if err := f.auditor.Run(ctx); err != nil {
		return err
	}
	const key = string(checkAdmissionStopped)
	if f.stopped != "" {
		f.fire(key, &Alert{Check: checkAdmissionStopped, Severity: severityOf(checkAdmissionStopped), Message: f.stopped})
	} else {
		f.resolve(key, "the audit goes on")
	}
	if s := f.auditor.Summary(); s.Unjudged == 0 {
		f.resolve(string(checkAdmissionIncomplete), "every entry was judged")
	} else {
		f.fire(string(checkAdmissionIncomplete), &Alert{Check: checkAdmissionIncomplete, Severity: severityOf(checkAdmissionIncomplete),
			Message: fmt.Sprintf("the admission of %d entries, and of later ones perhaps, cannot be judged: their policy asks for artifacts, which are not available (artifacts: in the configuration) %s", s.Unjudged, s.Unread)})
	}
	return nil
}

// violation takes what the audit finds. After a crash the audit finds again
// what it had not saved; what was told already is dropped here.
func (f *follower) violation(v audit.Violation) {
	a := &Alert{Check: checkAdmission, Severity: monitor.Critical, Message: fmt.Sprintf("%s: %s", v.Check, v.Message), Proof: string(v.Proof)}
	switch {
	case v.Index != nil && *v.Index < f.look.Audited:
	case v.Index != nil:
		a.Entry = &monitor.EntryRef{EntryID: v.EntryID, Index: *v.Index, Origin: f.look.Origin}
		a.Message = fmt.Sprintf("the policy in force does not admit entry %d, which is in the log: %s", *v.Index, a.Message)
		if v.Check == audit.CheckDuplicate {
			a.Severity = monitor.Medium
			a.Message = fmt.Sprintf("entry %d says again what the log has already: %s", *v.Index, v.Message)
		}
		if v.EntryID == "" { // the bytes there are none
			a.Entry = nil
		}
		f.event(a, v.EntryID, fmt.Sprint(*v.Index), v.Check, v.Message)
	case v.Check == audit.CheckConfiguration: // see misshown
	case v.Check == audit.CheckBundle:
		f.stopped = a.Message
	default:
		if id := idOf(v.Check, v.Message); !slices.Contains(f.look.AuditFiles, id) {
			f.look.AuditFiles = append(f.look.AuditFiles, id)
			f.look.AuditFiles = f.look.AuditFiles[max(0, len(f.look.AuditFiles)-maxAuditFiles):]
			f.event(a, id)
		}
	}
}

// saveAudit puts what was found into the book, and then writes the audit's
// state. A crash between the two has the audit find it once more.
func (f *follower) saveAudit(s *audit.State) error {
	f.look.Audited = max(f.look.Audited, s.Next)
	if err := f.commit(); err != nil {
		return err
	}
	s.Violations = nil // they are told, and would only grow
	return s.Write(f.auditFile())
}
