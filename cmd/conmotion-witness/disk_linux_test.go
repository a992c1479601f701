package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// TestDiskFull: on a disk that is full nothing is cosigned that is not stored, or that the
// mirror has not kept, and when there is room again all of it goes on by itself.
func TestDiskFull(t *testing.T) {
	if err := ownDisk(t.TempDir(), "true").Run(); err != nil {
		t.Skip("this machine does not let a test mount a disk: ", err)
	}
	l, url := newJudgedLog(t)
	list := "logs/v0\n"
	for _, vkey := range l.keys.VKeys {
		list += fmt.Sprintf("\nvkey %s\nqpd 2147483647\ncontact %s\n", vkey, url)
	}
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, full := range []string{"store", "mirror"} {
		t.Run(full, func(t *testing.T) {
			t.Parallel()
			disks := map[string]string{"store": t.TempDir(), "mirror": t.TempDir()}
			exe, admin := testlog.Must(os.Executable())(t), testwait.Address(t)
			cmd := ownDisk(disks[full], exe, "--dir", disks["store"], "--mirror", disks["mirror"], "--logs", file, "--listen", "127.0.0.1:0", "--admin-listen", admin, "--name", "witness.example")
			witnessURL, stderr := begin(t, cmd)
			disk := filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "root", disks[full])
			cosign := func(history int, old, size uint64) int {
				t.Helper()
				resp, err := http.Post(witnessURL+"/add-checkpoint", "", bytes.NewReader(l.request(t, history, old, size).Marshal()))
				if err != nil {
					t.Fatalf("%v\n%s", err, stderr)
				}
				resp.Body.Close()
				return resp.StatusCode
			}
			// shows is the size that a key has signed, by what it publishes.
			shows := func(role string) uint64 {
				_, note := get(t, witnessURL+role+"/"+cosigner.HashOf(testlog.Origin)+"/checkpoint")
				cp, _, err := scitt.OpenNote(note)
				if err != nil {
					return 0
				}
				if role == "/mirror" {
					dir := disks["mirror"]
					if full == "mirror" {
						dir = disk
					}
					l.isKept(t, filepath.Join(dir, cosigner.HashOf(testlog.Origin)), cp.Size, cp.Root)
				}
				return cp.Size
			}
			until := func(what string, is func() bool) {
				t.Helper()
				testwait.Until(t, is, what, "\n", stderr)
			}
			if status := cosign(0, 0, 50); status != http.StatusOK {
				t.Fatalf("status %d", status)
			}
			until("it is not mirrored", func() bool { return shows("/mirror") == 50 })
			filler := testlog.Must(os.Create(filepath.Join(disk, "filler")))(t)
			for chunk := 1 << 16; chunk > 0; {
				if _, err := filler.Write(make([]byte, chunk)); err != nil {
					chunk /= 2
				}
			}
			filler.Close()

			last := uint64(50)
			if full == "store" {
				until("its operator is not told that the disk is full", func() bool {
					status, body := get(t, "http://"+admin+"/readyz")
					return status == http.StatusServiceUnavailable && strings.Contains(string(body), "no space left on device")
				})
				refused := false
				for next := uint64(100); next <= 850 && !refused; next += 50 {
					switch status := cosign(0, last, next); status {
					case http.StatusOK: // there was room in what the database has
						last = next
					case http.StatusServiceUnavailable:
						refused = true
					default:
						t.Fatalf("on a full disk: status %d", status)
					}
				}
				if !refused {
					t.Fatal("a full disk takes everything")
				}
			} else {
				if status := cosign(0, 50, 850); status != http.StatusOK {
					t.Fatalf("the store is not full: status %d", status)
				}
				last = 850
				until("the mirror says nothing of the disk", func() bool { return strings.Contains(stderr.String(), "no space left on device") })
				if size := shows("/mirror"); size != 50 {
					t.Errorf("the mirror signed size %d, for which there is no room", size)
				}
			}
			if err := os.Remove(filler.Name()); err != nil {
				t.Fatal(err)
			}
			until("it is not ready with room", func() bool { status, _ := get(t, "http://"+admin+"/readyz"); return status == http.StatusOK })
			until("it does not go on with room", func() bool {
				last = max(last, shows("")) // what was refused may be stored all the same
				return cosign(0, last, 900) == http.StatusOK
			})
			until("the mirror does not go on", func() bool { return shows("/mirror") == 900 })
			if status := cosign(1, 900, 900); status != http.StatusUnprocessableEntity {
				t.Errorf("the other history: status %d", status)
			}
		})
	}
}

// ownDisk is a command with a small disk of its own in a directory.
func ownDisk(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command("sh", append([]string{"-c", `mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"`, dir, program}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}
