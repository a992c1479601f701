package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

func (a *app) artifact() *cobra.Command {
	cmd := &cobra.Command{
		Use: "artifact", Short: "Store and fetch the content behind hashes",
		Long: `Store and fetch artifacts: the content of statements that sign only a hash
(RFC 9995). A storage keeps them beside a log and names each by its SHA-256. It
is not trusted: what comes from it is hashed again here.

A storage may ask for a token to store, and for another one to read. --token-file
names a file with the token.`,
		Example: `  conmotion artifact put --store http://127.0.0.1:8080 image.iso
  conmotion sign --key issuer.pem --sub image --hash --store http://127.0.0.1:8080 --out s.cose image.iso
  conmotion verify --log http://127.0.0.1:8080 --artifacts http://127.0.0.1:8080 transparent.cose`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.artifactPut(), a.artifactGet(), a.artifactToken())
	return cmd
}

// storeFlags say where artifacts are: --token-file, and a flag with the URL.
type storeFlags struct {
	flag, url, tokenFile string
	limits               reader.Limits // of what is read
}

func (f *storeFlags) add(cmd *cobra.Command, flag, usage string) {
	f.flag = flag
	cmd.Flags().StringVar(&f.url, flag, "", usage)
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "file with the token for the artifact storage")
}

// addReading adds the flags of a command that reads artifacts.
func (f *storeFlags) addReading(cmd *cobra.Command, flag, usage string) {
	f.add(cmd, flag, usage)
	limitFlags(cmd, &f.limits)
}

// store makes a client that stores artifacts.
func (a *app) store(f storeFlags, concurrency int) (*client.Artifacts, error) {
	token, err := a.token(f)
	if err != nil {
		return nil, err
	}
	c, err := client.NewArtifacts(f.url, token, a.clientOptions(concurrency))
	if err != nil {
		return nil, usage(fmt.Errorf("--%s: %w", f.flag, err))
	}
	return c, nil
}

// artifacts opens an artifact storage to read; nil when the flag is not given.
func (a *app) artifacts(f storeFlags, concurrency int) (*reader.Reader, error) {
	if err := checkLimits(f.limits); err != nil {
		return nil, err
	}
	if f.url == "" && f.tokenFile == "" {
		return nil, nil
	}
	token, err := a.token(f)
	if err != nil {
		return nil, err
	}
	r, err := reader.Open(f.url, reader.Options{Client: a.clientOptions(concurrency), Token: token, Limits: f.limits})
	if err != nil {
		return nil, usage(fmt.Errorf("--%s: %w", f.flag, err))
	}
	return r, nil
}

// token reads --token-file; it is "" without one.
func (a *app) token(f storeFlags) (string, error) {
	if f.tokenFile == "" {
		return "", nil
	}
	data, err := readFileFlag("token-file", f.tokenFile)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if !isToken(token) {
		return "", usage(fmt.Errorf("--token-file %s: not one token and nothing else", f.tokenFile))
	}
	if u, err := url.Parse(f.url); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		a.notice("notice: the token goes to %s without encryption; whoever sees it can use it", u.Host)
	}
	return token, nil
}

// limitFlags adds the limits of what is fetched of one artifact.
func limitFlags(cmd *cobra.Command, l *reader.Limits) {
	cmd.Flags().Int64Var(&l.Size, "max-size", reader.MaxSize, "largest artifact to fetch, in bytes")
	cmd.Flags().DurationVar(&l.Time, "max-time", reader.MaxTime, "longest time to spend on one artifact")
}

// checkLimits checks what limitFlags reads; a command without them has the defaults.
func checkLimits(l reader.Limits) error {
	if l != (reader.Limits{}) && (l.Size <= 0 || l.Time <= 0) {
		return usage(errors.New("--max-size and --max-time are more than 0"))
	}
	return nil
}

// isWeb says whether it is a URL that can be fetched.
func isWeb(location string) bool {
	u, err := url.Parse(location)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// isToken holds a token to RFC 6750 section 2.1.
func isToken(s string) bool {
	core := strings.TrimRight(s, "=")
	for _, c := range []byte(core) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return core != ""
}

// storeError gives an error its exit code. A storage that has other bytes, is
// damaged or full is reached, and its word is final.
func storeError(err error) error {
	p, ok := errors.AsType[*scitt.Problem](err)
	if errors.Is(err, reader.ErrWrong) || ok && (p.Status == http.StatusInternalServerError || p.Status == http.StatusInsufficientStorage) {
		return bad(err)
	}
	return err
}

// parseDigest reads a SHA-256 with or without "sha256:" before it.
func parseDigest(s string) (reader.Digest, error) {
	d, err := reader.ParseDigest(strings.TrimPrefix(s, "sha256:"))
	if err != nil {
		return d, usage(fmt.Errorf("%q is not a SHA-256 in 64 lower case hex digits, with or without sha256: before it", s))
	}
	return d, nil
}

// meter shows how far reading is, and ends it with the context.
type meter struct {
	io.Reader
	ctx  context.Context
	done int64
	show func(done int64)
}

func (m *meter) Read(p []byte) (int, error) {
	if err := context.Cause(m.ctx); err != nil {
		return 0, err
	}
	n, err := m.Reader.Read(p)
	m.done += int64(n)
	m.show(m.done)
	return n, err
}

// amount writes a number of bytes for people; a total below 0 is not known.
func amount(done, total int64) string {
	if total < 0 {
		return fmt.Sprintf("%.1f MB", float64(done)/1e6)
	}
	return fmt.Sprintf("%.1f of %.1f MB", float64(done)/1e6, float64(total)/1e6)
}

func (a *app) artifactToken() *cobra.Command {
	var name, out string
	cmd := &cobra.Command{
		Use: "token --name NAME [--out FILE]", Short: "Make a token for an artifact storage",
		Long: `Make a token, for its holder, and the line that lets the service know it, which
holds only its hash. The line goes into the file that conmotiond reads with
--artifact-write-tokens or --artifact-read-tokens, at its next start. The name
says in the service's log who stored what.

With --out the token goes to a file (mode 0600; an existing one is never
replaced) and only the line is printed.`,
		Example: `  conmotion artifact token --name build-server --out build-server.token >> write-tokens`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.runArtifactToken(name, out) },
	}
	cmd.Flags().StringVar(&name, "name", "", `who holds it: up to 64 letters, digits and ".", "_", "-", "@"`)
	cmd.Flags().StringVar(&out, "out", "", "file for the token")
	require(cmd, "name")
	return cmd
}

func (a *app) runArtifactToken(name, out string) error {
	token, line, err := artifact.NewToken(name)
	if err != nil {
		return usage(fmt.Errorf("--name: %w", err))
	}
	if out != "" {
		if err := createFile(out, []byte(token+"\n")); err != nil {
			return err
		}
		a.notice("wrote %s: the token, to be kept secret", out)
	} else {
		a.notice("the token is shown once and kept nowhere; the line is for the service")
	}
	switch {
	case a.json && out != "":
		return a.printJSON(map[string]string{"file": out, "line": line})
	case a.json:
		return a.printJSON(map[string]string{"token": token, "line": line})
	case out != "":
		_, err = fmt.Fprintln(a.stdout, line)
		return err
	}
	return a.printRows([][]string{{"token", token}, {"line", line}})
}
