package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/conmotion/conmotion/internal/testport"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/search"
)

type (
	servicesKey struct{}
	searchKey   struct{}
)

// services are what one script runs.
type services struct {
	daemon string
	named  map[string]*service // "" is the one without a name
	files  map[string]*httptest.Server
}

// service is one conmotiond.
type service struct {
	daemon  string
	listen  string // where it is each time
	running *exec.Cmd
	manage  string // URL of its management over TLS
	admin   string // URL of its health and metrics
}

var (
	manageAddress = regexp.MustCompile(`msg="management over TLS" address=(\S+)`)
	adminAddress  = regexp.MustCompile(`msg="metrics, health and pprof" address=(\S+)`)
)

func cmdService(ts *testscript.TestScript, _ bool, args []string) {
	all := ts.Value(servicesKey{}).(*services)
	var verb, name string
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	s := all.named[name]
	if s == nil {
		s = &service{daemon: all.daemon, listen: "127.0.0.1:0"}
		if name != "" {
			address, release, err := testport.Take()
			ts.Check(err)
			ts.Defer(release)
			s.listen = address
		}
		all.named[name] = s
	}
	switch {
	case verb == "start" && s.running == nil:
		dir, env := name, strings.ToUpper(name)
		if name == "" {
			dir, env = "log", "LOG"
		}
		url, err := s.start(ts.MkAbs(dir), append([]string{"--checkpoint-interval", "100ms", "--queue", "1m"}, args...))
		ts.Check(err)
		ts.Setenv(env, url)
		if name == "" {
			ts.Setenv("MANAGE", s.manage)
		} else {
			ts.Setenv(env+"_MANAGE", s.manage)
			ts.Setenv(env+"_FILES", filepath.Join(ts.MkAbs(dir), "public"))
		}
		ts.Defer(func() { ts.Check(s.stop()) })
	case verb == "stop" && len(args) == 0 && s.running != nil:
		ts.Check(s.stop())
	default:
		ts.Fatalf("usage: service start [NAME] [flags] | service stop [NAME]")
	}
}

// cmdFiles serves a directory as any file server would.
func cmdFiles(ts *testscript.TestScript, _ bool, args []string) {
	all := ts.Value(servicesKey{}).(*services)
	switch {
	case len(args) == 3 && args[0] == "start" && all.files[args[1]] == nil:
		server := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[2]))))
		all.files[args[1]] = server
		ts.Setenv(strings.ToUpper(args[1]), server.URL)
		ts.Defer(server.Close)
	case len(args) == 2 && args[0] == "stop" && all.files[args[1]] != nil:
		all.files[args[1]].Close()
		delete(all.files, args[1])
	default:
		ts.Fatalf("usage: files start NAME DIR | files stop NAME")
	}
}

func cmdSearchOf(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(searchKey{}).(*service)
	switch {
	case len(args) > 0 && args[0] == "start" && s.running == nil:
		flags := append([]string{"--admin-listen", "127.0.0.1:0", "--search-interval", "50ms"}, args[1:]...)
		url, err := s.start(ts.MkAbs("search"), flags)
		if neg != (err != nil) {
			ts.Fatalf("search over another log: %v", err)
		}
		if err != nil {
			ts.Logf("%v", err)
			return
		}
		ts.Setenv("SEARCH", url)
		ts.Setenv("SEARCH_ADMIN", s.admin)
		ts.Defer(func() { ts.Check(s.stop()) })
	case len(args) == 1 && args[0] == "stop" && s.running != nil:
		ts.Check(s.stop())
	default:
		ts.Fatalf("usage: searchof start [flags] | searchof stop")
	}
}

// start waits until the service says where it is.
func (s *service) start(dir string, flags []string) (url string, err error) {
	flags = append([]string{"--listen", s.listen, "--dir", dir}, flags...)
	cmd := exec.Command(s.daemon, flags...)
	// A file has whatever was written before the welcome.
	stderr, err := os.Create(dir + ".stderr")
	if err != nil {
		return "", err
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 2 && fields[0] == "service" {
			s.running = cmd
			log, err := os.ReadFile(stderr.Name())
			if m := manageAddress.FindSubmatch(log); m != nil {
				s.manage = "https://" + string(m[1])
			}
			if m := adminAddress.FindSubmatch(log); m != nil {
				s.admin = "http://" + string(m[1])
			}
			return fields[1], err
		}
	}
	err = cmd.Wait()
	log, readErr := os.ReadFile(stderr.Name())
	return "", fmt.Errorf("conmotiond: %w\n%s", errors.Join(err, readErr), log)
}

func (s *service) stop() error {
	if s.running == nil {
		return nil
	}
	cmd := s.running
	s.running = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return cmd.Wait()
}

// cmdIndexed asks a service until its search has followed the log.
func cmdIndexed(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: indexed URL N")
	}
	want, err := strconv.ParseUint(args[1], 10, 64)
	ts.Check(err)
	ts.Check(indexed(args[0], want))
}

// indexed waits until a service's search has followed its log, as long as it gets on.
func indexed(service string, want uint64) error {
	c, err := client.New(service, client.Options{})
	if err != nil {
		return err
	}
	last := uint64(0)
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		body, err := c.Search(context.Background(), url.Values{"limit": {"1"}})
		if err != nil {
			return err
		}
		var p search.Answer
		if err := json.Unmarshal(body, &p); err != nil {
			return err
		}
		switch size := p.Checkpoint.Size; {
		case size >= want:
			return nil
		case size > last:
			last, deadline = size, time.Now().Add(2*time.Minute)
		case time.Now().After(deadline):
			return fmt.Errorf("the search is at %d entries", size)
		}
	}
}
