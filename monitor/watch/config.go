package watch

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
)

// Example is a configuration that shows everything.
//
//go:embed testdata/monitor.yaml
var Example string

// duration is a length of time in a configuration: 90s, 24h, or 7d for days of
// 24 hours.
type duration time.Duration

// UnmarshalYAML implements [yaml.Unmarshaler].
func (d *duration) UnmarshalYAML(node *yaml.Node) error {
	text := node.Value
	v, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok && err != nil {
		var n uint64
		if n, err = strconv.ParseUint(days, 10, 16); err == nil {
			v = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || v <= 0 || node.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: %q is not a length of time such as 90s, 24h or 7d", node.Line, text)
	}
	*d = duration(v)
	return nil
}

// or gives a default for what is not set.
func (d duration) or(other duration) duration {
	if d == 0 {
		return other
	}
	return d
}

// String is the shortest spelling.
func (d duration) String() string {
	v := time.Duration(d)
	if day := 24 * time.Hour; v >= day && v%day == 0 {
		return fmt.Sprintf("%dd", v/day)
	}
	text := v.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Resolve makes the paths of files absolute, which were relative to a
// directory: that of the configuration. What commands run is left alone.
func (c *Config) Resolve(dir string) {
	paths := []*string{&c.State}
	for i := range c.Alerts.Webhooks {
		paths = append(paths, &c.Alerts.Webhooks[i].TokenFile)
	}
	for i := range c.Logs {
		l := &c.Logs[i]
		paths = append(paths, &l.Location, &l.Artifacts, &l.TokenFile, &l.WitnessPolicy)
		if l.Admission != nil {
			paths = append(paths, &l.Admission.Schema)
		}
	}
	absolute := func(path string) string {
		if path == "" || party.IsURL(path) || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	for _, p := range paths {
		*p = absolute(*p)
	}
	for issuer, path := range c.IssuerKeys {
		c.IssuerKeys[issuer] = absolute(path)
	}
}

// Config says what to watch and whom to tell. [Config.Resolve] makes its paths
// independent of where the program runs.
type Config struct {
	// State is the directory in which the monitor remembers.
	State      string            `yaml:"state"`
	Interval   duration          `yaml:"interval"`    // between two looks at a log
	Timeout    duration          `yaml:"timeout"`     // of one request
	IssuerKeys map[string]string `yaml:"issuer_keys"` // files with the keys of issuers that are no did:jwk or did:key
	Alerts     sinksConfig       `yaml:"alerts"`
	Logs       []logConfig       `yaml:"logs"`
}

// sinksConfig are where alerts go, beside the log lines.
type sinksConfig struct {
	Webhooks []webhookConfig `yaml:"webhooks"`
	Commands []commandConfig `yaml:"commands"`
}

// webhookConfig is sent each alert as JSON with POST, until it answers 2xx.
type webhookConfig struct {
	Name      string   `yaml:"name"`
	URL       string   `yaml:"url"`
	TokenFile string   `yaml:"token_file"` // sent as a bearer token
	Timeout   duration `yaml:"timeout"`
}

// commandConfig is run for each alert, with its JSON on standard input, until it ends with 0.
type commandConfig struct {
	Name    string   `yaml:"name"`
	Run     []string `yaml:"run"`
	Timeout duration `yaml:"timeout"`
}

// logConfig is a log to follow.
type logConfig struct {
	Name     string   `yaml:"name"`
	Location string   `yaml:"location"` // URL or directory
	VKeys    []string `yaml:"vkeys"`
	// WitnessPolicy is a file (C2SP tlog-policy): the quorum of witnesses that the
	// log's checkpoint must have, not longer ago than WitnessMaxAge.
	WitnessPolicy string   `yaml:"witness_policy"`
	WitnessMaxAge duration `yaml:"witness_max_age"`
	Artifacts     string   `yaml:"artifacts"`
	TokenFile     string   `yaml:"artifact_token_file"`
	Interval      duration `yaml:"interval"`
	Timeout       duration `yaml:"timeout"`
	// From is now (the default: what was there before the first look is no
	// news) or start.
	From    string   `yaml:"from"`
	MaxAge  duration `yaml:"max_age"`  // of the checkpoint's signature
	MaxIdle duration `yaml:"max_idle"` // without a new entry
	// MaxBehind is how long the location may show an older state than it did.
	MaxBehind duration `yaml:"max_behind"`
	Reread    duration `yaml:"reread"` // in this time all entries and tiles are read again

	Admission    *admissionConfig  `yaml:"admission"`
	Records      []recordRule      `yaml:"records"`
	Expected     []expectedRule    `yaml:"expected"`
	Measurements []measurementRule `yaml:"measurements"`
	Endorsements []endorsementRule `yaml:"endorsements"`
}

// admissionConfig has every entry judged by the Registration Policy in force at its index.
type admissionConfig struct {
	Since  uint64 `yaml:"since"`       // first index that is judged
	Schema string `yaml:"ocsf_schema"` // file with the OCSF schema that policies name
}

// ruleHead is what every rule has.
type ruleHead struct {
	Name     string           `yaml:"name"`
	Severity monitor.Severity `yaml:"severity"` // of a measurement that of its numbers when empty
}

// recordRule tells each new entry that the filter selects.
type recordRule struct {
	ruleHead    `yaml:",inline"`
	entryFilter `yaml:",inline"`
}

// expectedRule tells when no entry that the filter selects came in time.
type expectedRule struct {
	ruleHead    `yaml:",inline"`
	entryFilter `yaml:",inline"`
	Every       duration `yaml:"every"`
	Grace       duration `yaml:"grace"`
}

// measurementRule tells when the newest measurement by an issuer is over a threshold.
type measurementRule struct {
	ruleHead  `yaml:",inline"`
	By        []string `yaml:"by"`    // issuers whose measurements count
	About     []string `yaml:"about"` // origins of logs of reports; any when empty
	What      []string `yaml:"what"`  // inventory, configuration; both when empty
	Scope     []string `yaml:"scope"` // terms: those of a measurement that counts; every measurement when empty
	Over      *int     `yaml:"over"`  // impact_score; more than this is told
	Drift     *int     `yaml:"drift"` // configurations that drift, or may; more than this is told
	Below     *float64 `yaml:"below"` // percent of coverage; less than this is told
	Recompute bool     `yaml:"recompute"`
}

// endorsementRule tells when endorsements end soon.
type endorsementRule struct {
	ruleHead `yaml:",inline"`
	By       []string `yaml:"by"`    // issuers whose endorsements count
	Scope    []string `yaml:"scope"` // one of these tokens; any when empty
	About    []string `yaml:"about"` // origins of the endorsed entries' logs; any when empty
	Before   duration `yaml:"before"`
}

// How the YAML decoder speaks of what it cannot take.
var (
	unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)
	wrongKind    = regexp.MustCompile(`cannot unmarshal !!(\w+)(.*) into \S+`)
)

// ParseConfig reads a configuration. Every error names the line.
func ParseConfig(data []byte) (*Config, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	c := &Config{}
	err := dec.Decode(c)
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the configuration is empty")
	}
	if err != nil {
		text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:\n")
		text = unknownField.ReplaceAllString(text, "there is no setting $1 here")
		text = wrongKind.ReplaceAllString(text, "a value of the kind $1$2 does not belong here")
		return nil, errors.New(strings.ReplaceAll(strings.TrimSpace(text), "\n  ", "; "))
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, err
	}
	v := &validator{root: &root}
	v.config(c)
	return c, errors.Join(v.errs...)
}
