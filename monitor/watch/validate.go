package watch

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// The defaults of a configuration.
const (
	defaultState    = "monitor-state"
	defaultInterval = duration(time.Minute)
	defaultTimeout  = duration(30 * time.Second)
	webhookTimeout  = duration(10 * time.Second)
	commandTimeout  = duration(time.Minute)
	minInterval     = duration(50 * time.Millisecond)
	defaultBehind   = duration(10 * time.Minute)
	defaultReread   = duration(7 * 24 * time.Hour)
)

// validator checks what the form alone does not, and sets defaults.
type validator struct {
	root *yaml.Node
	errs []error
}

// bad notes an error at the place with this path of names and numbers.
func (v *validator) bad(path []any, format string, args ...any) {
	line := lineOf(v.root, path)
	v.errs = append(v.errs, fmt.Errorf("line %d: %w", line, fmt.Errorf(format, args...)))
}

// lineOf is the line of what is at a path, or of the nearest thing above it.
func lineOf(node *yaml.Node, path []any) int {
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}
	line := max(node.Line, 1)
	for _, step := range path {
		for node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		found := false
		switch step := step.(type) {
		case string:
			for i := 0; i+1 < len(node.Content) && node.Kind == yaml.MappingNode; i += 2 {
				if node.Content[i].Value == step {
					line, node, found = node.Content[i].Line, node.Content[i+1], true
					break
				}
			}
		case int:
			if node.Kind == yaml.SequenceNode && step < len(node.Content) {
				node, found = node.Content[step], true
				line = node.Line
			}
		}
		if !found {
			break
		}
	}
	return line
}

// goodName is what names may be: they become file names, keys and words in messages.
var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// name checks a name and that it is the only one.
func (v *validator) name(path []any, name string, seen map[string]bool, of string) {
	switch {
	case name == "":
		v.bad(path, "%s needs a name", of)
	case !goodName.MatchString(name):
		v.bad(append(path, "name"), "the name %q is not letters, digits, dots, dashes and underscores, up to 64", name)
	case strings.HasSuffix(name, ".audit"):
		v.bad(append(path, "name"), "the name %q ends in .audit, which is for the monitor's own files", name)
	case seen[name]:
		v.bad(append(path, "name"), "the name %q is there twice", name)
	}
	seen[name] = true
}

func at(path []any, steps ...any) []any { return append(slices.Clone(path), steps...) }

func (v *validator) config(c *Config) {
	if c.State == "" {
		c.State = defaultState
	}
	c.Interval, c.Timeout = c.Interval.or(defaultInterval), c.Timeout.or(defaultTimeout)
	sinks := map[string]bool{lineSink: true}
	for i := range c.Alerts.Webhooks {
		w, path := &c.Alerts.Webhooks[i], []any{"alerts", "webhooks", i}
		w.Timeout = w.Timeout.or(webhookTimeout)
		v.name(path, w.Name, sinks, "a webhook")
		if u, err := url.Parse(w.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			v.bad(at(path, "url"), "the webhook's url %q is not http or https", w.URL)
		}
	}
	for i := range c.Alerts.Commands {
		d, path := &c.Alerts.Commands[i], []any{"alerts", "commands", i}
		d.Timeout = d.Timeout.or(commandTimeout)
		v.name(path, d.Name, sinks, "a command")
		if len(d.Run) == 0 || d.Run[0] == "" {
			v.bad(at(path, "run"), "the command has nothing to run: a list of the program and its arguments")
		}
	}
	if len(c.Logs) == 0 {
		v.bad([]any{"logs"}, "there are no logs to watch")
	}
	names := map[string]bool{}
	for i := range c.Logs {
		path := []any{"logs", i}
		v.name(path, c.Logs[i].Name, names, "a log")
		v.log(path, &c.Logs[i], c)
	}
}

func (v *validator) log(path []any, l *logConfig, c *Config) {
	l.Interval, l.Timeout = l.Interval.or(c.Interval), l.Timeout.or(c.Timeout)
	l.MaxBehind, l.Reread = l.MaxBehind.or(defaultBehind), l.Reread.or(defaultReread)
	if l.Interval < minInterval {
		v.bad(at(path, "interval"), "the interval is less than %v", time.Duration(minInterval))
	}
	if l.Location == "" {
		v.bad(path, "the log %q needs a location: a URL or a directory", l.Name)
	} else if strings.Contains(l.Location, "://") && !party.IsURL(l.Location) {
		v.bad(at(path, "location"), "the location %q is not a URL with http or https", l.Location)
	}
	if len(l.VKeys) > 0 {
		if _, err := scitt.NewCheckpointVerifiers(l.VKeys); err != nil {
			v.bad(at(path, "vkeys"), "vkeys: %w", err)
		}
	}
	if l.WitnessMaxAge > 0 && l.WitnessPolicy == "" {
		v.bad(at(path, "witness_max_age"), "witness_max_age goes with witness_policy")
	}
	if l.From == "" {
		l.From = fromNow
	}
	if l.From != fromNow && l.From != fromStart {
		v.bad(at(path, "from"), "from is now or start, not %q", l.From)
	}
	if l.TokenFile != "" && l.Artifacts == "" && !party.IsURL(l.Location) {
		v.bad(at(path, "artifact_token_file"), "a token is for artifacts at a URL")
	}
	rules := map[string]bool{}
	for i := range l.Records {
		p, r := at(path, "records", i), &l.Records[i]
		v.rule(p, &r.ruleHead, rules, monitor.Informational)
		v.filter(p, &r.entryFilter)
	}
	for i := range l.Expected {
		p, r := at(path, "expected", i), &l.Expected[i]
		v.rule(p, &r.ruleHead, rules, monitor.Medium)
		v.filter(p, &r.entryFilter)
		if r.Every == 0 {
			v.bad(p, "%q needs every: how often a record is expected", r.Name)
		}
	}
	for i := range l.Measurements {
		p, r := at(path, "measurements", i), &l.Measurements[i]
		v.rule(p, &r.ruleHead, rules, "")
		v.by(p, r.Name, r.By)
		v.words(p, "what", r.What, string(monitor.Inventory), string(monitor.Configuration))
		if r.Over == nil && r.Drift == nil && r.Below == nil && !r.Recompute {
			v.bad(p, "%q needs over: the impact_score, 0 to 100, beyond which to tell, drift, below, or recompute: true", r.Name)
		}
		if r.Drift != nil && *r.Drift < 0 {
			v.bad(at(p, "drift"), "drift is how many configurations may drift")
		}
		if r.Below != nil && !(*r.Below > 0 && *r.Below <= 100) {
			v.bad(at(p, "below"), "below is a coverage in percent, more than 0 and at most 100")
		}
		if scope, err := monitor.ParseScope(r.Scope); err != nil {
			v.bad(at(p, "scope"), "%v", err)
		} else {
			r.Scope = scope
		}
		if r.Over != nil && (*r.Over < 0 || *r.Over > 100) {
			v.bad(at(p, "over"), "over is an impact_score, 0 to 100")
		}
	}
	for i := range l.Endorsements {
		p, r := at(path, "endorsements", i), &l.Endorsements[i]
		v.rule(p, &r.ruleHead, rules, monitor.Medium)
		v.by(p, r.Name, r.By)
		if r.Before == 0 {
			v.bad(p, "%q needs before: how long before its end an endorsement is told", r.Name)
		}
	}
}

func (v *validator) rule(path []any, h *ruleHead, seen map[string]bool, severity monitor.Severity) {
	v.name(path, h.Name, seen, "a rule")
	if h.Severity == "" {
		h.Severity = severity
	} else if h.Severity.ID() == 0 {
		v.bad(at(path, "severity"), "severity is one of %v, not %q", monitor.Severities(), h.Severity)
	}
}

func (v *validator) by(path []any, name string, issuers []string) {
	if len(issuers) == 0 {
		v.bad(path, "%q needs by: the issuers whose word counts; anybody may say anything", name)
	}
}

func (v *validator) words(path []any, member string, got []string, allowed ...string) {
	for _, word := range got {
		if !slices.Contains(allowed, word) {
			v.bad(at(path, member), "%s is one of %s, not %q", member, strings.Join(allowed, ", "), word)
		}
	}
}

func (v *validator) filter(path []any, f *entryFilter) {
	v.words(path, "kinds", f.Kinds, string(monitor.Inventory), string(monitor.Configuration))
	v.words(path, "actions", f.Actions, string(monitor.Create), string(monitor.Modify), string(monitor.Delete))
	for i, typ := range f.Types {
		if !strings.Contains(typ, "/") {
			f.Types[i] = "application/vnd.conmotion." + typ + "+cose"
		}
	}
}
