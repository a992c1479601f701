package main

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

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
)

// management is a service's management interface.
type management struct {
	url    string // of the resource
	name   string // for people
	hint   string // what may be wrong when there is no answer
	client *http.Client
}

// maxManagement is how many bytes of an answer are read.
const maxManagement = 4 << 20

// newManagementSocket reaches a service on this machine. The kernel tells the
// service who is calling.
func newManagementSocket(path string) *management {
	c := cli.HTTPClient(1)
	t := c.Transport.(*http.Transport)
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &management{
		url: "http://manage/policy", name: path, client: c,
		hint: "is the service running, is this its socket (--socket), and are you root or the user that it runs as?",
	}
}

// newManagementTLS reaches a service that asks for a client certificate.
func newManagementTLS(f policySetFlags) (*management, error) {
	u, err := url.Parse(f.manage)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, cli.Usage(fmt.Errorf("--manage %q is not a URL such as https://log.internal:9443", f.manage))
	}
	if f.cert == "" {
		return nil, cli.Usage(errors.New("--manage needs --cert and --key"))
	}
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("--cert, --key: %w", err))
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}
	if f.ca != "" {
		pem, err := cli.ReadFileFlag("ca", f.ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, cli.Usage(fmt.Errorf("--ca %s: no certificate in the PEM file", f.ca))
		}
	}
	c := cli.HTTPClient(1)
	c.Transport.(*http.Transport).TLSClientConfig = config
	return &management{
		url: strings.TrimRight(f.manage, "/") + "/policy", name: f.manage, client: c,
		hint: "does the service trust the authority of --cert, and --ca the service's?",
	}, nil
}

func (m *management) inForce(ctx context.Context) (*policyPlace, error) {
	var answer struct {
		policyChange
		Document json.RawMessage `json:"document"`
	}
	if err := m.do(ctx, http.MethodGet, nil, &answer); err != nil {
		return nil, err
	}
	id, err := scitt.ParseEntryID(answer.EntryID)
	if err != nil {
		return nil, fmt.Errorf("%s: the answer is not that of a management interface: %w", m.name, err)
	}
	return &policyPlace{id, answer.Index, answer.Document}, nil
}

// set has the service sign the document, which fills in "previous" too.
func (m *management) set(ctx context.Context, _ *policy.Policy, document []byte) (*policyChange, error) {
	change := &policyChange{Warnings: []string{}}
	return change, m.do(ctx, http.MethodPost, document, change)
}

// do makes one request. A refusal is a *scitt.Problem in the error.
func (m *management) do(ctx context.Context, method string, body []byte, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, m.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := m.client.Do(request)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL, which a socket does not have
		}
		return fmt.Errorf("%s: %w; %s", m.name, err, m.hint)
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
