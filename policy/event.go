package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
)

// shownFindings is how many findings about an event a message names.
const shownFindings = 8

// notEvents are the kinds of statements that speak of other entries and whose
// payload is therefore no event.
var notEvents = []string{scitt.TypeAcknowledgement, scitt.TypeEndorsement, scitt.TypeObservation, scitt.TypeHandover}

// checkOCSF holds the statement's content, inline or stored, to OCSF.
func (e *evaluation) checkOCSF() {
	o := &e.p.ocsf
	if o.mode == ocsfOff || slices.Contains(notEvents, e.s.Type) {
		return
	}
	outcome := Failed
	if o.mode == ocsfWarn {
		outcome = Warned
	}
	const fix = "sign a valid OCSF event in JSON, inline or stored as the artifact of the hash"
	event, err := e.event()
	if e.factsErr != nil {
		return
	}
	if err != nil {
		e.found(outcome, fix, "the content is not an OCSF event: "+err.Error())
		return
	}
	rep := e.p.schema().CheckTree(event, !e.verbose)
	failed := false
	if n := len(rep.Errors) + rep.MoreErrors; n > 0 {
		var b strings.Builder
		for i, f := range rep.Errors {
			if i == shownFindings {
				fmt.Fprintf(&b, "; and %d more", n-i)
				break
			}
			if i > 0 {
				b.WriteString("; ")
			}
			b.WriteString(f.String())
		}
		e.found(outcome, "put right what the paths name", "the event is not valid OCSF "+e.p.schema().Version()+": "+b.String())
		failed = true
	}
	// Without a version or class there are errors already.
	if o.versions != nil && rep.Version != "" && !slices.Contains(o.versions, rep.Version) {
		e.found(outcome, "use one of the versions "+list(o.versions), "the policy does not allow OCSF version "+quote(rep.Version))
		failed = true
	}
	if o.classes != nil && rep.ClassUID != 0 && !slices.Contains(o.classes, rep.ClassUID) {
		e.found(outcome, fmt.Sprintf("use one of the classes %v", o.classes), fmt.Sprintf("the policy does not allow events of class %d", rep.ClassUID))
		failed = true
	}
	if failed {
		return
	}
	e.pass(CheckOCSF)
	if e.verbose {
		for _, f := range rep.Warnings {
			e.found(Warned, "", f.String())
		}
	}
}

func (e *evaluation) found(o Outcome, fix, message string) {
	if o == Failed || e.verbose {
		e.report.Findings = append(e.report.Findings, Finding{CheckOCSF, o, message, fix})
	}
}

// event is the JSON that the statement is about.
func (e *evaluation) event() (*jsonx.Tree, error) {
	if contentFormat(e.s.ContentType) != "json" {
		return nil, fmt.Errorf("its type is %s and not JSON", quote(e.s.ContentType))
	}
	switch {
	case e.s.Envelope == nil:
		return e.parseJSON(e.s.Payload)
	case e.p.artifact == modeOff:
		return nil, errNotInline
	}
	content, err := e.artifactContent()
	if err != nil {
		return nil, err
	}
	return e.parseJSON(content)
}
