package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/scitt"
)

// defaultSocket is the management socket of a service in this directory.
const defaultSocket = "conmotion-data/private/manage.sock"

// ManageFlags say how a service's management interface is reached.
type ManageFlags struct {
	Socket, URL, Cert, Key, CA string
}

// Add adds the flags to a command.
func (f *ManageFlags) Add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.Socket, "socket", defaultSocket, "management socket of the service")
	fl.StringVar(&f.URL, "manage", "", "https URL of the service's management interface")
	fl.StringVar(&f.Cert, "cert", "", "PEM file with the client certificate; with --manage")
	fl.StringVar(&f.Key, "key", "", "PEM file with its key; with --manage")
	fl.StringVar(&f.CA, "ca", "", "PEM file with the authority of the service's certificate; with --manage (default: those of the system)")
	cmd.MarkFlagsRequiredTogether("cert", "key")
}

// Open reaches a resource of the management interface, such as "/policy".
func (f *ManageFlags) Open(ctx context.Context, resource string) (*Management, error) {
	if (f.Cert != "" || f.CA != "") && f.URL == "" {
		return nil, Usage(errors.New("--cert, --key and --ca are for the management interface over TLS, with --manage"))
	}
	if f.URL != "" {
		return f.overTLS(ctx, resource)
	}
	return f.overSocket(resource), nil
}

// Management is a resource of a service's management interface.
type Management struct {
	url    string // of the resource
	name   string // for people
	hint   string // what may be wrong when there is no answer
	client *http.Client
}

// maxManagement is how many bytes of an answer are read.
const maxManagement = 4 << 20

// overSocket reaches a service on this machine. The kernel tells the service who is
// calling.
func (f *ManageFlags) overSocket(resource string) *Management {
	c := HTTPClient(1)
	t := c.Transport.(*http.Transport)
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", f.Socket)
	}
	return &Management{
		url: "http://manage" + resource, name: f.Socket, client: c,
		hint: "is the service running, is this its socket (--socket), and are you root or the user that it runs as?",
	}
}

// overTLS reaches a service that asks for a client certificate.
func (f *ManageFlags) overTLS(ctx context.Context, resource string) (*Management, error) {
	u, err := url.Parse(f.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, Usage(fmt.Errorf("--manage %q is not a URL such as https://log.internal:9443", f.URL))
	}
	if f.Cert == "" {
		return nil, Usage(errors.New("--manage needs --cert and --key"))
	}
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, Usage(fmt.Errorf("--cert, --key: %w", err))
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}
	if f.CA != "" {
		pem, err := ReadFileFlag(ctx, "ca", f.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, Usage(fmt.Errorf("--ca %s: no certificate in the PEM file", f.CA))
		}
	}
	c := HTTPClient(1)
	c.Transport.(*http.Transport).TLSClientConfig = config
	return &Management{
		url: strings.TrimRight(f.URL, "/") + resource, name: f.URL, client: c,
		hint: "does the service trust the authority of --cert, and --ca the service's?",
	}, nil
}

// Do makes one request with a body of a media type, and reads the answer. A refusal is a
// *scitt.Problem in the error.
func (m *Management) Do(ctx context.Context, method, kind string, body []byte, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, m.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", kind)
	response, err := m.client.Do(request)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL, which a socket does not have
		}
		hint := m.hint
		if ctx.Err() != nil && method != http.MethodGet {
			hint = "what was asked for may have been done, or still be: look before you ask for it again"
		}
		return fmt.Errorf("%s: %w; %s", m.name, err, hint)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxManagement))
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	if response.StatusCode != http.StatusOK {
		problem, err := scitt.ParseProblem(response.StatusCode, data)
		if err != nil {
			return fmt.Errorf("%s: status %s", m.name, response.Status)
		}
		return fmt.Errorf("%s: %w", m.name, problem)
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("%s: the answer is not that of a management interface: %w", m.name, err)
	}
	return nil
}
