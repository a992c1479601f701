// Package serving is what the programs that serve have in common: the public
// address, the operator's, certificates, proxies, memory, logs and configuration.
package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/internal/printable"
)

// Options are how a program serves. Its flags, and --config, set them.
type Options struct {
	Listen, AdminListen string
	TLSCert, TLSKey     string
	Memory              int64 // bytes
	Logger              *slog.Logger

	proxies    []string
	trusted    proxies
	logFormat  string
	untilStdin bool
}

// AddFlags adds the flags. The public address is listen where --listen does not say it.
func (o *Options) AddFlags(f *pflag.FlagSet, listen string) {
	f.StringVar(&o.Listen, "listen", listen, "address of the public service")
	f.StringVar(&o.AdminListen, "admin-listen", "", "address of metrics, health, readiness and pprof; not to be shown in public (default: off)")
	f.String("config", "", "YAML file with flags by their names; flags on the command line win")
	f.Int64Var(&o.Memory, "memory", 0, "bytes of memory that the process takes; each connection counts as 128 KiB (default: GOMEMLIMIT, or three quarters of what the cgroup or the machine has)")
	f.StringSliceVar(&o.proxies, "trusted-proxies", nil, "addresses and networks of the reverse proxies in front, whose X-Forwarded-For or Forwarded says who the client is, for rates and logs (default: none)")
	f.StringVar(&o.TLSCert, "tls-cert", "", "PEM file with the certificate chain; together with --tls-key")
	f.StringVar(&o.TLSKey, "tls-key", "", "PEM file with the certificate's key")
	f.BoolVar(&o.untilStdin, "until-stdin-ends", false, "stop when standard input ends: the end of a pipe tells that whoever started this program is gone")
	f.StringVar(&o.logFormat, "log-format", "text", "form of the log on standard error: text or json")
}

// Complete reads the configuration file, makes the logger, and checks what only
// makes sense together.
func (o *Options) Complete(ctx context.Context, flags *pflag.FlagSet, stderr io.Writer) (err error) {
	if path, _ := flags.GetString("config"); path != "" {
		if err := readConfigFile(ctx, flags, path); err != nil {
			return err
		}
	}
	switch o.logFormat {
	case "text":
		o.Logger = slog.New(newRated(slog.NewTextHandler(stderr, nil)))
	case "json":
		o.Logger = slog.New(newRated(slog.NewJSONHandler(printed{stderr}, nil)))
	default:
		return fmt.Errorf("--log-format is text or json, not %q", o.logFormat)
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key belong together")
	}
	if o.Memory < 0 {
		return errors.New("--memory cannot be negative")
	}
	o.trusted, err = parseProxies(o.proxies)
	return err
}

// printed writes lines of JSON in which nothing is left that a terminal obeys.
type printed struct{ io.Writer }

// Write implements io.Writer.
func (p printed) Write(line []byte) (int, error) {
	_, err := p.Writer.Write(printable.JSON(line))
	return len(line), err
}

// Until is the context of a program that serves, which also ends when its standard
// input does, where that is asked for. The input is read until the program ends.
func (o *Options) Until(ctx context.Context, stdin io.Reader) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	if o.untilStdin {
		go func() {
			defer stop()
			_, _ = io.Copy(io.Discard, stdin) // an input that cannot be read has ended
		}()
	}
	return ctx, stop
}

// readConfigFile sets the flags that the command line left alone.
func readConfigFile(ctx context.Context, flags *pflag.FlagSet, path string) error {
	data, err := plain.ReadInput(ctx, path, 1<<20)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	var doc map[string]yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	names := make([]string, 0, len(doc))
	for name := range doc {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		node := doc[name]
		flag := flags.Lookup(name)
		if flag == nil || name == "config" || name == "help" || name == "version" || name == "json" {
			return fmt.Errorf("--config %s: line %d: there is no flag --%s", path, node.Line, name)
		}
		if node.Kind != yaml.ScalarNode {
			return fmt.Errorf("--config %s: line %d: %s is not a single value", path, node.Line, name)
		}
		if flag.Changed {
			continue
		}
		if err := flags.Set(name, node.Value); err != nil {
			return fmt.Errorf("--config %s: line %d: %w", path, node.Line, err)
		}
	}
	return nil
}
