package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	syaml "sigs.k8s.io/yaml"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/tfschema"
)

// knows fails unless conmotiond has these flags; names are without dashes.
func knows(t *testing.T, where string, names ...string) {
	t.Helper()
	for _, name := range names {
		if command(io.Discard, io.Discard).Flags().Lookup(name) == nil {
			t.Errorf("%s: conmotiond has no flag --%s", where, name)
		}
	}
}

// parses fails unless conmotiond takes these arguments.
func parses(t *testing.T, where string, args []string) {
	t.Helper()
	if err := command(io.Discard, io.Discard).ParseFlags(args); err != nil {
		t.Errorf("%s: %v", where, err)
	}
}

// TestTerraformFlags: each flag that a module gives is one of conmotiond's.
func TestTerraformFlags(t *testing.T) {
	n := 0
	for _, m := range testlog.Must(tfschema.Modules("../../terraform"))(t) {
		keys := m.Keys("flags")
		knows(t, m.Dir, keys...)
		n += len(keys)
	}
	if n < 10 {
		t.Errorf("only %d flags were found", n)
	}
}

// actions are those of IAM that the requests in a source need, by what is sent.
var actions = map[string]string{
	"s3.GetObject": "s3:GetObject", "s3.HeadObject": "s3:GetObject", "s3.PutObject": "s3:PutObject", "s3.DeleteObject": "s3:DeleteObject",
	"s3.DeleteObjects": "s3:DeleteObject", "s3.ListObjectsV2": "s3:ListBucket", "kms.Sign": "kms:Sign", "kms.GetPublicKey": "kms:GetPublicKey",
}

// TestTerraformActions: an instance on AWS may send the requests that are in the sources of
// the service and of Tessera's driver, and no others.
func TestTerraformActions(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", "github.com/transparency-dev/tessera/storage/aws").Output()
	if err != nil {
		t.Fatal(err)
	}
	requests := regexp.MustCompile(`&((?:s3|kms)\.\w+)Input\{`)
	sends := func(patterns ...string) (all []string) {
		t.Helper()
		for _, pattern := range patterns {
			for _, file := range testlog.Must(filepath.Glob(pattern))(t) {
				if strings.HasSuffix(file, "_test.go") {
					continue
				}
				for _, m := range requests.FindAllSubmatch(testlog.Must(os.ReadFile(file))(t), -1) {
					action, ok := actions[string(m[1])]
					if !ok {
						t.Errorf("%s sends %s: which action is it?", file, m[1])
					}
					all = append(all, action)
				}
			}
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	policy := testlog.Must(os.ReadFile("../../terraform/modules/aws/access.tf"))(t)
	allowed := func(sids ...string) (all []string) {
		t.Helper()
		for _, sid := range sids {
			m := regexp.MustCompile(`Sid = "` + sid + `".* Action = (\[.*?\]|".*?"),`).FindSubmatch(policy)
			if m == nil {
				t.Fatalf("no statement %s", sid)
			}
			for _, action := range regexp.MustCompile(`"(.*?)"`).FindAllSubmatch(m[1], -1) {
				all = append(all, string(action[1]))
			}
		}
		slices.Sort(all)
		return all
	}
	for what, c := range map[string]struct{ sends, may []string }{
		"the log's bucket": {sends("../../storage/aws/*.go", strings.TrimSpace(string(out))+"/*.go"), allowed("LogObjects", "Buckets")},
		"artifacts":        {sends("../../storage/aws/artifacts.go"), allowed("ArtifactObjects", "Buckets")},
		"keys":             {sends("../../keys/awskms/*.go"), allowed("SigningKeys")},
	} {
		if len(c.sends) == 0 || !slices.Equal(c.sends, c.may) {
			t.Errorf("%s: the sources send %s, and an instance may %s", what, c.sends, c.may)
		}
	}
}

// TestKubernetes: the manifests have the fields of the API and no others, and
// conmotiond's flags; nothing runs as root or writes to the image; the log on a disk
// has one instance.
func TestKubernetes(t *testing.T) {
	for _, file := range testlog.Must(filepath.Glob("../../deploy/kubernetes/*.yaml"))(t) {
		var template *corev1.PodTemplateSpec
		documents := yaml.NewDecoder(bytes.NewReader(testlog.Must(os.ReadFile(file))(t)))
		for {
			var doc map[string]any
			if err := documents.Decode(&doc); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			strict := func(into any) {
				t.Helper()
				if err := syaml.UnmarshalStrict(testlog.Must(json.Marshal(doc))(t), into); err != nil {
					t.Errorf("%s: %s: %v", file, doc["kind"], err)
				}
			}
			switch doc["kind"] {
			case "Deployment":
				var d appsv1.Deployment
				strict(&d)
				template = &d.Spec.Template
				if d.Spec.Replicas == nil || *d.Spec.Replicas < 2 {
					t.Errorf("%s: one instance", file)
				}
			case "StatefulSet":
				var s appsv1.StatefulSet
				strict(&s)
				template = &s.Spec.Template
				if s.Spec.Replicas == nil || *s.Spec.Replicas != 1 {
					t.Errorf("%s: a disk has one writer", file)
				}
			case "ConfigMap":
				var m corev1.ConfigMap
				strict(&m)
				var flags map[string]string
				if err := yaml.Unmarshal([]byte(m.Data["conmotiond.yaml"]), &flags); err != nil || len(flags) == 0 {
					t.Errorf("%s: %v", file, err)
				}
				for name := range flags {
					knows(t, file, name)
				}
			case "Service":
				strict(&corev1.Service{})
			case "ServiceAccount":
				strict(&corev1.ServiceAccount{})
			case "PodDisruptionBudget":
				strict(&policyv1.PodDisruptionBudget{})
			default:
				t.Errorf("%s: a %v", file, doc["kind"])
			}
		}
		c, pod := template.Spec.Containers[0], template.Spec.SecurityContext
		parses(t, file, c.Args)
		if s := c.SecurityContext; !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || s.Capabilities.Drop[0] != "ALL" || !*pod.RunAsNonRoot || *pod.RunAsUser == 0 {
			t.Errorf("%s: %+v %+v", file, s, pod)
		}
		if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.StartupProbe == nil {
			t.Errorf("%s: the probes", file)
		}
	}
}

// TestDockerfile: the image has nothing but the program, does not run as root, and its
// arguments are conmotiond's.
func TestDockerfile(t *testing.T) {
	text := string(testlog.Must(os.ReadFile("../../Dockerfile"))(t))
	last := text[strings.LastIndex(text, "\nFROM ")+1:]
	if !strings.HasPrefix(last, "FROM scratch\n") || !regexp.MustCompile(`\nUSER [1-9][0-9]*:`).MatchString(last) || strings.Contains(last, "\nRUN ") {
		t.Errorf("the last stage is\n%s", last)
	}
	var entrypoint []string
	if err := json.Unmarshal([]byte(last[strings.Index(last, "ENTRYPOINT ")+len("ENTRYPOINT "):]), &entrypoint); err != nil || len(entrypoint) < 3 {
		t.Fatalf("%v: %v", entrypoint, err)
	}
	parses(t, "Dockerfile", entrypoint[1:])
	// What the build needs is in its context.
	for _, line := range strings.Fields(string(testlog.Must(os.ReadFile("../../.dockerignore"))(t))) {
		if _, err := fs.Stat(os.DirFS("../.."), line+"/doc.go"); err == nil || line == "cmd" || line == "go.mod" {
			t.Errorf(".dockerignore has %s", line)
		}
	}
}

// TestUnit: systemd has nothing against the unit, and little that it does not protect.
func TestUnit(t *testing.T) {
	unit := string(testlog.Must(os.ReadFile("../../deploy/conmotiond.service"))(t))
	start := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(unit)
	parses(t, "conmotiond.service", strings.Fields(start[1])[1:])
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	file := filepath.Join(t.TempDir(), "conmotiond.service")
	unit = strings.Replace(unit, start[0], "ExecStart=/bin/true", 1) // the program is not installed here
	unit = strings.Replace(unit, "User=conmotion", "User=daemon", 1) // nor is there the user
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", "--man=no", file}, {"security", "--no-pager", "--offline=yes", "--threshold=20", file}} {
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
		if err != nil || args[0] == "verify" && slices.ContainsFunc(strings.Split(string(out), "\n"), func(line string) bool { return strings.Contains(line, "conmotiond.service") }) {
			t.Errorf("systemd-analyze %v: %v\n%s", args, err, out)
		}
	}
}
