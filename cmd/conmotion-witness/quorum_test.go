package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// TestMainJob is the main job: OCSF events are in a log that two witnesses of ours and one
// of another project cosign, which the first keeps and audits. With all of them
// stopped, a statement is verified under a quorum of all three, one of them as an auditor, and
// the mirror is audited.
func TestMainJob(t *testing.T) {
	omniwitness, err := exec.LookPath("omniwitness")
	if err != nil {
		t.Skip("omniwitness (github.com/transparency-dev/witness) is not here")
	}
	t.Parallel()
	dir, home := t.TempDir(), t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	service := testwait.Address(t)
	provider := []string{"--dir", path("provider"), "--listen", service}
	stop, _ := background(t, testprogram.Path(t, "conmotiond"), provider...)
	_, data := answered(t, "http://"+service+"/"+tiles.ConfigurationPath)
	vkey := scitt.NoteVKey(testlog.Must(scitt.ParseConfiguration(data))(t).CheckpointKeys)

	// Two take the log from the list of a network, and the first from the log itself, so
	// that it knows where its files are.
	network := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "logs/v0\n\nvkey %s\nqpd 86400\ncontact the provider\n", vkey)
	}))
	defer network.Close()
	var out bytes.Buffer
	if code := run(t.Context(), &cli.App{Stdout: &out, Stderr: &out}, []string{"log", "add", "--dir", path("w1"), "http://" + service}); code != cli.ExitGood {
		t.Fatalf("log add: exit code %d\n%s", code, &out)
	}
	stop()
	w1, url1, _ := startWitness(t, path("w1"), "--mirror", path("kept"), "--audit", "--audit-wait", "5s")
	w2, url2, _ := startWitness(t, path("w2"), "--log-list", network.URL)
	key, _, err := scitt.GenerateCosignerKeys("omni.example")
	if err != nil {
		t.Fatal(err)
	}
	address := testwait.Address(t)
	background(t, omniwitness, "--listen", address, "--metrics_listen", "", "--private_key_path", write("omni.key", key),
		"--db_file", path("omni.db"), "--public_witness_config_url", network.URL)
	vkeys := func(url string) (keys []string) {
		_, page := answered(t, url+"/")
		for line := range strings.Lines(string(page)) {
			if strings.HasPrefix(line, "witness.example") && strings.Contains(line, "+") {
				keys = append(keys, strings.TrimSpace(line))
			}
		}
		return keys
	}
	one, two := vkeys(url1), vkeys(url2) // Ed25519 and ML-DSA-44, of the mirror next, and of the auditor
	if len(one) != 6 || len(two) != 2 {
		t.Fatalf("%q %q", one, two)
	}
	witnesses := fmt.Sprintf("witness w1 %s %s\nwitness w1-audited %s %s\nwitness w2 %s %s\nwitness omni %s http://%s\n",
		one[0], url1, one[4], url1, two[0], url2, testlog.Must(scitt.ParseCosignerKey(key))(t), address)
	stop, _ = background(t, testprogram.Path(t, "conmotiond"), append(provider, "--witness-policy",
		write("policy", witnesses+"group three all w1 w2 omni\nquorum three\n"))...)
	policy := write("reader", witnesses+"group three all w1-audited w2 omni\nquorum three\n")

	answered(t, "http://"+service+"/checkpoint")
	issuer, c := testlog.Key(t, "ES256"), testlog.Must(client.New("http://"+service, client.Options{}))(t)
	demanded := testlog.Must(witness.ParsePolicy(testlog.Must(os.ReadFile(policy))(t)))(t)
	size, met := uint64(0), false
	// The auditor may be late for a checkpoint: then it is on a later one.
	for round, end := 0, time.Now().Add(2*time.Minute); !met; round++ {
		if time.Now().After(end) {
			t.Fatal("no Receipt has the cosignatures of all")
		}
		var statements [][]byte
		for name, event := range testlog.Events(t) {
			statements = append(statements, testlog.Must(scitt.SignStatement(issuer, scitt.SignOptions{
				Subject: fmt.Sprintf("record/%s/%d", name, round), ContentType: "application/json", Type: scitt.TypeRecord}, event))(t))
		}
		registered, err := c.RegisterAll(t.Context(), statements)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range registered {
			st := testlog.Must(scitt.ParseStatement(statements[i]))(t)
			receipt := testlog.Must(scitt.ParseReceipt(r.Receipt))(t)
			cosigned, err := demanded.OpenReceipt(receipt, st.Entry())
			if err != nil {
				t.Fatal(err)
			}
			if !met && cosigned.Quorum() == nil {
				met = true
				write("transparent.cose", string(scitt.AttachReceipts(st, r.Receipt)))
			}
			size = max(size, cosigned.Size)
		}
	}
	hash := cosigner.HashOf(strings.SplitN(vkey, "+", 2)[0])
	testwait.Until(t, func() bool {
		_, note := get(t, url1+"/mirror/"+hash+"/checkpoint")
		cp, _, err := scitt.OpenNote(note)
		return err == nil && cp.Size >= size
	}, "the mirror has all entries")
	if status, body := get(t, url1+"/audited/"+hash+"/evidence.json"); status != http.StatusNotFound {
		t.Errorf("an honest log is accused: %d %s", status, body)
	}

	// From here on there are files, and nothing else.
	stop()
	for _, w := range []*exec.Cmd{w1, w2} {
		if err := w.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := w.Wait(); err != nil {
			t.Error(err)
		}
	}
	mirror := filepath.Join(path("kept"), hash)
	stranger := write("stranger", "witness s "+testlog.NewCosigner(t, "s.example", "Ed25519").String()+"\nquorum s\n")
	kept := write("mirror", "witness m "+one[2]+"\nquorum m\n")
	for want, all := range map[int][][]string{
		cli.ExitGood: {
			{"verify", "--keys", filepath.Join(mirror, tiles.KeysPath), "--witness-policy", policy, path("transparent.cose")},
			{"verify", "--static", mirror, "--witness-policy", kept, path("transparent.cose")},
			{"audit", "--witness-policy", kept, mirror},
			{"fsck", mirror},
		},
		cli.ExitBad: {
			{"verify", "--keys", filepath.Join(mirror, tiles.KeysPath), "--witness-policy", stranger, path("transparent.cose")},
			{"audit", "--witness-policy", stranger, mirror},
		},
	} {
		for _, args := range all {
			cmd := exec.Command(testprogram.Path(t, "conmotion"), args...)
			cmd.Env = append(os.Environ(), "CONMOTION_HOME="+home)
			said, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != want {
				t.Errorf("%q: exit code %d, want %d\n%s", args, got, want, said)
			}
		}
	}
}

// background runs a program until the test ends, or stop is called, which wants that it ends well.
func background(t *testing.T, program string, args ...string) (stop func(), log *output) {
	t.Helper()
	cmd := exec.Command(program, args...)
	log = &output{}
	cmd.Stdout, cmd.Stderr = io.Discard, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may have ended
	return func() {
		t.Helper()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("%v\n%s", err, log)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, log)
		}
	}, log
}

// answered waits until a server that starts has an answer.
func answered(t *testing.T, url string) (status int, body []byte) {
	t.Helper()
	testwait.Until(t, func() bool {
		status, body = get(t, url)
		return status == http.StatusOK
	}, url, " answers")
	return status, body
}
