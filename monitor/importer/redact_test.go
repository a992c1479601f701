package importer

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/monitor/disclosure"
)

// hunter is a value that must be nowhere.
const hunter = "hunter2-S3cr3t"

// secretive are items as the clouds give them, with hunter in them, and what is taken out.
var secretive = map[string]struct {
	gcp   bool
	item  string
	took  map[string]int
	stays string
}{
	"ECS task definition": {false, aws("AWS::ECS::TaskDefinition", `{"ContainerDefinitions":[{"Name":"app","Environment":[{"Name":"DB_PASSWORD","Value":"HUNTER"},{"Name":"EMPTY","Value":""}]}]}`),
		map[string]int{"environment": 1, "hash": 1}, "DB_PASSWORD"},
	"Lambda": {false, aws("AWS::Lambda::Function", `{"functionName":"f","codeSha256":"q1w2","environment":{"variables":{"TOKEN":"HUNTER"}}}`),
		map[string]int{"environment": 1, "hash": 2}, "TOKEN"},
	"Lambda, as the API has it": {false, aws("AWS::Lambda::Function", `"{\"environment\":{\"variables\":{\"TOKEN\":\"HUNTER\"}}}"`),
		map[string]int{"environment": 1, "hash": 1}, "TOKEN"},
	"CodeBuild": {false, aws("AWS::CodeBuild::Project", `{"environment":{"type":"LINUX_CONTAINER","environmentVariables":[{"name":"K","type":"PLAINTEXT","value":"HUNTER"}]}}`),
		map[string]int{"environment": 1, "hash": 1}, "LINUX_CONTAINER"},
	"EC2 user data": {false, aws("AWS::EC2::LaunchTemplate", `{"LaunchTemplateData":{"UserData":"`+base64.StdEncoding.EncodeToString([]byte("export P=HUNTER"))+`","InstanceType":"t4g.small"}}`),
		map[string]int{"user-data": 1, "hash": 1}, "t4g.small"},
	"password by its name": {false, aws("AWS::RDS::DBInstance", `{"masterUserPassword":"HUNTER","passwordLastUsed":"2026-01-01","requirePassword":true}`),
		map[string]int{"credential": 1, "hash": 1}, "passwordLastUsed"},
	"Cloud Run": {true, gcp("run.googleapis.com/Service", `{"etag":"E","spec":{"template":{"spec":{"containers":[{"image":"i","env":[{"name":"A","value":"HUNTER"}]}]}}}}`),
		map[string]int{"environment": 1, "hash": 1}, `"image":"i"`},
	"Cloud Functions": {true, gcp("cloudfunctions.googleapis.com/Function", `{"serviceConfig":{"environmentVariables":{"A":"HUNTER"}}}`), map[string]int{"environment": 1}, "serviceConfig"},
	"Compute Engine":  {true, gcp("compute.googleapis.com/Instance", `{"metadata":{"fingerprint":"F","items":[{"key":"startup-script","value":"HUNTER"}]}}`), map[string]int{"user-data": 1, "hash": 1}, "startup-script"},
	"Pub/Sub":         {true, `{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(gcp("run.googleapis.com/Service", `{"template":{"containers":[{"env":[{"name":"A","value":"HUNTER"}]}]}}`))) + `"}}`, map[string]int{"environment": 1}, `"name":"A"`},
	"Kubernetes Secret": {true, gcp("k8s.io/Secret", `{"kind":"Secret","data":{"p":"HUNTER"},"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"kind\":\"Secret\",\"stringData\":{\"p\":\"HUNTER\"}}"}}}`),
		map[string]int{"kubernetes-secret": 2}, "last-applied-configuration"},
	"a block that is a list": {false, aws("AWS::Lambda::Function", `{"environment":[{"variables":{"TOKEN":"HUNTER"}}],"setting":[{"name":"N","value":"HUNTER"}]}`),
		map[string]int{"environment": 2, "hash": 1}, "TOKEN"},
	"settings that are a map": {true, gcp("microsoft.web/sites", `{"appSettings":{"K":"HUNTER"},"metadata":{"environment":{"E":"HUNTER"}}}`), map[string]int{"environment": 2}, `"K"`},
	"a path as a name": {true, gcp("microsoft.resources/changes", `{"changes":{"properties.siteConfig.appSettings[0].value":{"previousValue":"HUNTER","newValue":"HUNTER"},"properties.dbPassword":"HUNTER"}}`),
		map[string]int{"environment": 1, "credential": 1}, "appSettings[0]"},
	"names that end so": {false, aws("AWS::EC2::VPNConnection", `{"options":{"tunnelOptions":[{"preSharedKey":"HUNTER","outsideIp":"192.0.2.1"}]},"datadogApiKey":"HUNTER","aws_secret_access_key":"HUNTER"}`),
		map[string]int{"credential": 3, "hash": 1}, "192.0.2.1"},
	"text with a member twice": {false, aws("AWS::X::Y", `{"policy":"{\"password\":\"HUNTER\",\"password\":\"\"}","template":"{{ .Values.x }}"}`),
		map[string]int{"json-text": 1, "hash": 1}, "{{ .Values.x }}"},
	"text behind a text": {false, aws("AWS::X::Y", `{"policy":"[ {\"a\":1}] password=HUNTER","size":"1"}`), map[string]int{"json-text": 1, "hash": 1}, `"size"`},
	"text that is cut off": {false, aws("AWS::X::Y", `{"policy":"`+base64.StdEncoding.EncodeToString([]byte(`{"password": "`+hunter+`"`))+`","masterPassword":"HUNTER","size":1}`),
		map[string]int{"credential": 1, "json-text": 1, "hash": 1}, `"size"`},
	"ConfigMap": {true, gcp("k8s.io/ConfigMap", `{"kind":"ConfigMap","data":{"DB_PASSWORD":"HUNTER","app.properties":"mode=prod\n  db.password = HUNTER\n","app.yaml":"export API_KEY: \"HUNTER\"","notes":"a: b\npassword:\n"}}`),
		map[string]int{"credential": 3}, `"notes":"a: b\npassword:\n"`},
	"a name beside its value": {true, gcp("x.googleapis.com/Y", `{"properties":[{"name":"db.password","value":"HUNTER"},{"Key":"token","Value":"HUNTER"},{"name":"mode","value":"prod"}]}`),
		map[string]int{"credential": 2}, `{"name":"mode","value":"prod"}`},
	"Azure app settings": {true, gcp("microsoft.web/sites", `{"properties":{"siteConfig":{"appSettings":[{"name":"K","value":"HUNTER"}],"connectionStrings":[{"name":"db","connectionString":"Server=x;Password=HUNTER"}]}}}`),
		map[string]int{"environment": 1, "connection-string": 1}, `"name":"db"`},
}

func aws(kind, configuration string) string {
	return `{"configurationItemStatus":"OK","configurationItemCaptureTime":"2026-07-01T12:00:00Z","configurationItemMD5Hash":"d41d8cd98f00b204e9800998ecf8427e","awsAccountId":"123456789012","awsRegion":"eu-central-1","resourceType":"` + kind +
		`","resourceId":"r-1","ARN":"arn:aws:x:eu-central-1:123456789012:r-1","configuration":` + configuration + `}`
}

func gcp(kind, data string) string {
	return `{"name":"//x.googleapis.com/projects/p/r-1","assetType":"` + kind + `","updateTime":"2026-07-01T12:00:00Z","resource":{"version":"v1","data":` + data + `}}`
}

func redactedItems(t *testing.T, o RedactOptions, gcp bool, item string) ([]Item, *Redactor) {
	t.Helper()
	r, err := NewRedactor(o)
	if err != nil {
		t.Fatal(err)
	}
	read := readAWS
	if gcp {
		read = readGCP
	}
	var items []Item
	for it, err := range read(strings.NewReader(item), Options{Redact: r}) {
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
	}
	return items, r
}

// forms are the spellings of hunter that a reader could look for, or test a guess with.
func forms(t *testing.T, item string, gcp bool) []string {
	plain, err := decode([]byte(item))
	if err != nil {
		t.Fatal(err)
	}
	whole, sum := digest(plain), sha256.Sum256([]byte(hunter))
	out := []string{hunter, hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sum[:]), base64.RawURLEncoding.EncodeToString(sum[:])}
	for _, label := range []string{"aws-config inventory", "aws-config configuration configuration", "gcp-cai inventory", "gcp-cai configuration resource"} {
		out = append(out, identify(label, whole))
	}
	if !gcp {
		out = append(out, "d41d8cd98f00b204e9800998ecf8427e")
	}
	for i := range 3 { // a part of it in base64, at each place
		out = append(out, base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", i) + hunter))[4:12])
	}
	return out
}

// TestRedact: known secrets are nowhere in an event, also not as a digest of theirs or
// of the whole item, which anybody could hold a guess against; the rest is.
func TestRedact(t *testing.T) {
	for name, c := range secretive {
		item := strings.ReplaceAll(c.item, "HUNTER", hunter)
		if c.item == item { // in base64
			item = strings.ReplaceAll(item, base64.StdEncoding.EncodeToString([]byte("export P=HUNTER")), base64.StdEncoding.EncodeToString([]byte("export P="+hunter)))
			if m := strings.TrimSuffix(strings.TrimPrefix(c.item, `{"message":{"data":"`), `"}}`); m != c.item {
				raw, err := base64.StdEncoding.DecodeString(m)
				if err != nil {
					t.Fatal(err)
				}
				item = `{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(string(raw), "HUNTER", hunter))) + `"}}`
			}
		}
		items, r := redactedItems(t, RedactOptions{}, c.gcp, item)
		all := events(items)
		for _, form := range forms(t, item, c.gcp) {
			if bytes.Contains(all, []byte(form)) {
				t.Errorf("%s: %q is in %s", name, form, all)
			}
		}
		if !maps.Equal(r.Counts(), c.took) {
			t.Errorf("%s: took %v, want %v", name, r.Counts(), c.took)
		}
		if !bytes.Contains(all, []byte(`{"...":"redacted"}`)) && !bytes.Contains(all, []byte(`redacted`)) || !strings.Contains(string(all), c.stays) {
			t.Errorf("%s: %s", name, all)
		}
		// What is asked to stay does, and then so does the hash.
		if items, r = redactedItems(t, RedactOptions{Keep: []string{"@all"}}, c.gcp, item); bytes.Contains(events(items), []byte("redacted")) || len(r.Counts()) > 0 {
			t.Errorf("%s: kept: %v %s", name, r.Counts(), events(items))
		}
		// What can be shown later has its digest there, and a value that is the original.
		secret := &disclosure.Secret{7}
		items, _ = redactedItems(t, RedactOptions{Disclosable: []string{"@all"}, Secret: secret}, c.gcp, item)
		again, _ := redactedItems(t, RedactOptions{Disclosable: []string{"@all"}, Secret: secret}, c.gcp, item)
		if !bytes.Equal(events(items), events(again)) {
			t.Errorf("%s: the same item gave\n%s\n%s", name, events(items), events(again))
		}
		for _, form := range forms(t, item, c.gcp) {
			if bytes.Contains(events(items), []byte(form)) {
				t.Errorf("%s: %q is in %s", name, form, events(items))
			}
		}
		for _, it := range items {
			opened, err := (&disclosure.Document{Payload: it.Event, Disclosures: it.Disclosures}).Open()
			if err != nil {
				t.Fatal(err)
			}
			if shown := bytes.Contains(opened.Payload, []byte(hunter)) || bytes.Contains(opened.Payload, []byte(base64.StdEncoding.EncodeToString([]byte("export P="+hunter)))); shown != (len(it.Disclosures) > 0) {
				t.Errorf("%s: %d disclosures, %s", name, len(it.Disclosures), opened.Payload)
			}
		}
	}
}

func events(items []Item) (all []byte) {
	for _, it := range items {
		all = append(append(all, it.Event...), '\n')
	}
	return all
}

// TestRedactOptions: what the flags change, and which are refused.
func TestRedactOptions(t *testing.T) {
	item := aws("AWS::Lambda::Function", `{"functionName":"f","environment":{"variables":{"A":"one","B":"two"}}}`)
	for _, c := range []struct {
		o    RedactOptions
		took string
	}{
		{RedactOptions{}, "map[environment:2 hash:1]"},
		{RedactOptions{Keep: []string{"variables.b"}}, "map[environment:1 hash:1]"},
		{RedactOptions{Keep: []string{"@environment"}}, "map[]"},
		{RedactOptions{Keep: []string{"@hash"}}, "map[environment:2]"},
		{RedactOptions{Redact: []string{"function_name"}}, "map[asked:1 environment:2 hash:1]"},
		{RedactOptions{Redact: []string{"configuration.*"}}, "map[asked:2 hash:1]"},
		{RedactOptions{Keep: []string{"@all"}, Redact: []string{"functionName"}}, "map[asked:1]"},
	} {
		if _, r := redactedItems(t, c.o, false, item); fmt.Sprint(r.Counts()) != c.took {
			t.Errorf("%+v: took %v, want %s", c.o, r.Counts(), c.took)
		}
	}
	for _, o := range []RedactOptions{{Keep: []string{"@nothing"}}, {Redact: []string{""}}, {Redact: []string{"a..b"}}, {Disclosable: []string{"a[0]"}}} {
		if _, err := NewRedactor(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	// What looks like a hidden value, and is none, is no item.
	r, err := NewRedactor(RedactOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range []string{"pending", pendingMark + "0"} {
		for _, err := range readAWS(strings.NewReader(aws("AWS::X::Y", `{"a":{"...":"`+mark+`"}}`)), Options{Redact: r}) {
			if _, ok := err.(*Problem); !ok {
				t.Errorf("a reserved member: %v", err)
			}
		}
	}
}

// FuzzRedact: whatever an item is, what is hidden in its events can be shown, and
// nothing of how it is done stays.
func FuzzRedact(f *testing.F) {
	for _, c := range secretive {
		f.Add([]byte(c.item))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, read := range []func(io.Reader, Options) iter.Seq2[Item, error]{readAWS, readGCP} {
			r, err := NewRedactor(RedactOptions{Disclosable: []string{"@all", "configuration"}, Secret: &disclosure.Secret{7}})
			if err != nil {
				t.Fatal(err)
			}
			for it, err := range read(bytes.NewReader(in), Options{Redact: r}) {
				if err != nil {
					continue
				}
				if pendingText.Match(it.Event) && !pendingText.Match(in) {
					t.Fatalf("%s", it.Event)
				}
				if _, err := jsonx.Canonical(it.Event); err != nil || len(it.Disclosures) == 0 {
					continue // what has no canonical form cannot be a record
				}
				opened, err := (&disclosure.Document{Payload: it.Event, Disclosures: it.Disclosures}).Open()
				if err != nil || len(opened.Hidden) > 0 {
					t.Fatalf("%v: %s", err, it.Event)
				}
			}
		}
	})
}

// TestTableInDocs: docs/monitoring.md lists what is taken out.
func TestTableInDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, s := range knownSecrets() {
		patterns := "`" + strings.Join(s.patterns, "`, `") + "`"
		if s.patterns == nil {
			patterns = "any text"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", s.kind, s.of, patterns))
	}
	for _, line := range want {
		if !slices.Contains(strings.Split(string(page), "\n"), line) {
			t.Errorf("docs/monitoring.md lacks\n%s", line)
		}
	}
}

// TestRedactMany: items are read at once, come in their order, and each field that is taken out is counted once.
func TestRedactMany(t *testing.T) {
	const n = 300
	var in strings.Builder
	for i := range n {
		fmt.Fprintln(&in, aws("AWS::RDS::DBInstance", fmt.Sprintf(`{"number":"n%d","masterUserPassword":%q}`, i, hunter)))
	}
	r, err := NewRedactor(RedactOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for item, err := range readAWS(strings.NewReader(in.String()), Options{Redact: r}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case item.Kind != Configuration:
			continue
		case !bytes.Contains(item.Event, fmt.Appendf(nil, `"n%d"`, next)) || bytes.Contains(item.Event, []byte(hunter)) || item.Position.Line != int64(next+1):
			t.Fatalf("event %d, of line %d: %s", next, item.Position.Line, item.Event)
		}
		next++
	}
	if counts := r.Counts(); next != n || counts["credential"] != n {
		t.Errorf("%d configurations, taken out: %v", next, counts)
	}
}

// TestRedactPlaces: secrets are taken out also where an item has more places than are remembered.
func TestRedactPlaces(t *testing.T) {
	r, err := NewRedactor(RedactOptions{})
	if err != nil {
		t.Fatal(err)
	}
	item := object{}
	for i := range maxPlaces {
		item[fmt.Sprint("machine-", i)] = object{"admin.password": "x", "disks": list{object{"accountKey": "x", "name": "d"}}}
	}
	if _, err := r.redact(item); err != nil {
		t.Fatal(err)
	}
	want := object{"admin.password": disclosure.Redacted(), "disks": list{object{"accountKey": disclosure.Redacted(), "name": "d"}}}
	for name, got := range item {
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %v", name, got)
		}
	}
}
