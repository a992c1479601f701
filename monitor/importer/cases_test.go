package importer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/policy/ocsf"
)

// awsCase is the smallest configuration item, with more members.
func awsCase(more string) string {
	return `{"version":"1.3","accountId":"123456789012","configurationItemCaptureTime":"2026-07-01T10:00:00+00:00","awsRegion":"eu-central-1","tags":{},"relationships":[],"supplementaryConfiguration":{},` + more + `}`
}

// prowlerCase is the smallest finding of a class, with more members.
func prowlerCase(class int, more string) string {
	return fmt.Sprintf(`{"metadata":{"event_code":"x","product":{"name":"Prowler","vendor_name":"Prowler","version":"5.40.0"},"version":"1.5.0","profiles":["cloud"]},
		"severity_id":3,"status_id":1,"activity_id":1,"category_uid":2,"class_uid":%d,"type_uid":%d01,"finding_info":{"title":"t","uid":"u"},%s}`, class, class, more)
}

const gcpCloud = `"time":1764410000,"cloud":{"account":{"uid":"%[1]s"},"provider":"gcp","region":"global"},"resources":[{"name":"%[2]s","type":"%[3]s","uid":"%[4]s","region":"global"}]`

// TestCases: the right value for inputs that once went wrong.
func TestCases(t *testing.T) {
	const firewall = "//compute.googleapis.com/projects/proj-a/global/firewalls/allow"
	at := time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC)
	level := func(name string) string {
		return `{"name":"//cloudresourcemanager.googleapis.com/organizations/1","asset_type":"cloudresourcemanager.googleapis.com/Organization","access_level":{"name":"accessPolicies/4/accessLevels/` + name + `"},"update_time":"2019-05-01T10:00:00Z"}`
	}
	testCases(t, map[string]sourceCase{
		"an answer of the aggregator": {readAWS, `{"ConfigurationItem":` + awsCase(`"configurationItemStatus":"OK","arn":"arn:aws:s3:::b","resourceType":"AWS::S3::Bucket","resourceId":"b","configuration":"{}"`) + `}`, Options{},
			"inventory modify arn:aws:s3:::b, configuration modify arn:aws:s3:::b#configuration", "", nil},
		"several of them, and not all": {readAWS, `{"BaseConfigurationItems":[` + awsCase(`"configurationItemStatus":"OK","resourceType":"AWS::EC2::VPC","resourceId":"vpc-1"`) + `],"UnprocessedResourceIdentifiers":[{"ResourceId":"x"}]}`, Options{},
			"inventory modify arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1, more: UnprocessedResourceIdentifiers: this is one page, or a part, and not all that the source has", "", nil},
		"a page": {readAWS, `{"nextToken":"x","configurationItems":[` + awsCase(`"configurationItemStatus":"OK","resourceType":"AWS::EC2::VPC","resourceId":"vpc-1"`) + `]}`, Options{},
			"inventory modify arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1, more: nextToken: this is one page, or a part, and not all that the source has", "", nil},
		"the last page": {readAWS, `{"nextToken":null,"unprocessedResourceKeys":[],"baseConfigurationItems":[` + awsCase(`"configurationItemStatus":"OK","resourceType":"AWS::EC2::VPC","resourceId":"vpc-1"`) + `]}`, Options{},
			"inventory modify arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1", "", nil},
		"results of SelectResourceConfig": {readAWS, `{"Results":["{\"resourceId\":\"vpc-1\",\"resourceType\":\"AWS::EC2::VPC\",\"accountId\":\"1\",\"awsRegion\":\"r\",\"configuration\":{\"a\":1}}"],"QueryInfo":{}}`, Options{Time: at},
			"inventory modify arn:aws:ec2:r:1:vpc/vpc-1, configuration modify arn:aws:ec2:r:1:vpc/vpc-1#configuration", "time", "1782900000000"},
		"an integer beyond 2^53": {readAWS, awsCase(`"configurationItemStatus":"OK","resourceType":"AWS::EC2::VPC","resourceId":"vpc-1","configuration":{"v":9223372036854775807}`), Options{},
			"inventory modify arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1, configuration modify arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1#configuration",
			"unmapped.integers", object{"$.resources[0].data.configuration.v": "9223372036854775807"}},
		"and its value": {readAWS, awsCase(`"configurationItemStatus":"OK","resourceType":"AWS::EC2::VPC","resourceId":"vpc-1","configuration":{"v":9223372036854775807,"w":9007199254740991}`), Options{},
			"inventory modify arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1, configuration modify arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1#configuration",
			"resources.0.data.configuration.v", "9223372036854775807"},
		"a finding about an asset": {readAWS, awsCase(`"configurationItemStatus":"OK","resourceType":"AWS::Config::ResourceCompliance","resourceId":"AWS::EC2::Instance/i-0","configuration":{"complianceType":"NON_COMPLIANT"}`), Options{},
			"finding create arn:aws:ec2:eu-central-1:123456789012:instance/i-0", "compliance.status_id", "3"},
		"a firewall as Cloud Asset Inventory names it": {readGCP, `{"name":"` + firewall + `","asset_type":"compute.googleapis.com/Firewall","resource":{"version":"v1","data":{"id":"579"}},"update_time":"2026-11-29T09:25:55Z"}`, Options{},
			"inventory modify " + firewall + ", configuration modify " + firewall + "#resource", "resources.0.uid_alt", "579"},
		"a firewall as Prowler names it": {readProwler, prowlerCase(2004, fmt.Sprintf(gcpCloud, "proj-a", "allow", "FirewallRule", "579")), Options{Inventory: true},
			"finding create " + firewall + ", inventory modify " + firewall, "resources.0.uid_alt", "579"},
		"two projects are two assets": {readProwler, "[" + prowlerCase(2004, fmt.Sprintf(gcpCloud, "proj-a", "AR", "Service", "c.googleapis.com")) + "," + prowlerCase(2004, fmt.Sprintf(gcpCloud, "proj-b", "AR", "Service", "c.googleapis.com")) + "]", Options{Inventory: true},
			"finding create gcp/proj-a/global/Service/c.googleapis.com, inventory modify gcp/proj-a/global/Service/c.googleapis.com, " +
				"finding create gcp/proj-b/global/Service/c.googleapis.com, inventory modify gcp/proj-b/global/Service/c.googleapis.com", "", nil},
		"three access levels are three configurations": {readGCP, level("a") + "\n" + level("b") + "\n" + level("c"), Options{},
			"configuration modify //cloudresourcemanager.googleapis.com/organizations/1#accessLevel/accessPolicies/4/accessLevels/a, " +
				"configuration modify //cloudresourcemanager.googleapis.com/organizations/1#accessLevel/accessPolicies/4/accessLevels/b, " +
				"configuration modify //cloudresourcemanager.googleapis.com/organizations/1#accessLevel/accessPolicies/4/accessLevels/c", "", nil},
		"two perimeters are two configurations": {readGCP, strings.ReplaceAll(level("p")+"\n"+level("q"), "access_level", "service_perimeter"), Options{},
			"configuration modify //cloudresourcemanager.googleapis.com/organizations/1#servicePerimeter/accessPolicies/4/accessLevels/p, " +
				"configuration modify //cloudresourcemanager.googleapis.com/organizations/1#servicePerimeter/accessPolicies/4/accessLevels/q", "", nil},
		"an export without times": {readGCP, `{"asset_type":"storage.googleapis.com/Bucket","name":"//storage.googleapis.com/b"}`, Options{},
			`problem: asset "//storage.googleapis.com/b": no updateTime or window.startTime that is a time; --time gives one`, "", nil},
		"an export without times and a time": {readGCP, `{"asset_type":"storage.googleapis.com/Bucket","name":"//storage.googleapis.com/b"}`, Options{Time: at},
			"inventory modify //storage.googleapis.com/b", "time", "1782900000000"},
		"a list with the time of reading": {readGCP, `{"readTime":"2026-07-01T10:00:00Z","assets":[{"assetType":"storage.googleapis.com/Bucket","name":"//storage.googleapis.com/b"}]}`, Options{},
			"inventory modify //storage.googleapis.com/b", "time", "1782900000000"},
		"a finding with event_time": {readProwler, prowlerCase(2004, `"event_time":"2024-06-03T14:15:19.382075","cloud":{"account":{"uid":"1"},"provider":"aws"},"resources":[{"uid":"arn:aws:iam::1:role/r"}]`), Options{},
			"finding create arn:aws:iam::1:role/r", "time", "1717424119382"},
		"a compliance finding whose cloud is in unmapped": {readProwler, prowlerCase(2003, `"time":1764410000,"unmapped":{"cloud":{"provider":"aws","region":"r","account":{"uid":"1"}}},"compliance":{"standards":["CIS"],"control":"c","status_id":3},"resources":[{"uid":"arn:aws:iam::1:root"}]`), Options{},
			"finding create arn:aws:iam::1:root", "cloud.account.uid", "1"},
	})
}

// sourceCase is an input and what becomes of it.
type sourceCase struct {
	read    converter
	in      string
	options Options
	want    string // kind, action and what it is about of each item, and the problems
	path    string // in the last event
	value   any
}

func testCases(t *testing.T, cases map[string]sourceCase) {
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			r := run(t, tt.read, strings.NewReader(tt.in), tt.options)
			var got []string
			for _, i := range r.items {
				about := i.AssetUID
				if i.ConfigUID != "" {
					about = i.ConfigUID
				}
				got = append(got, i.Kind+" "+i.Action+" "+about)
			}
			for _, p := range r.problems {
				word := "problem: "
				if p.More {
					word = "more: "
				}
				got = append(got, word+p.Reason)
			}
			if s := strings.Join(got, ", "); s != tt.want || r.err != nil {
				t.Fatalf("got  %s, %v\nwant %s", s, r.err, tt.want)
			}
			if tt.path == "" {
				return
			}
			e, err := decode(r.items[len(r.items)-1].Event)
			if err != nil {
				t.Fatal(err)
			}
			if got := get(e, tt.path); fmt.Sprint(got) != fmt.Sprint(tt.value) {
				t.Errorf("%s is %v, want %v", tt.path, got, tt.value)
			}
		})
	}
}

func TestRepair(t *testing.T) {
	const device = `{"activity_id":2,"category_uid":5,"class_uid":5001,"type_uid":500102,"severity_id":1,"time":%s,"metadata":{"product":{"name":"Okta","vendor_name":"Okta"},"version":"%s"%s},"device":{"uid":"d","type_id":5%s}}`
	for _, tt := range []struct{ time, version, code, more, want string }{
		{"1681545600", "1.6.0", "", "", fmt.Sprint([]string{repairedVersion, repairedTime})},
		{"1681545600000000", "1.5.0", `,"event_code":"team.add_member"`, "", fmt.Sprint([]string{repairedCode, repairedTime})},
		{"1681545600000", "1.5.0", "", "", "[]"},
		{"1681545600000", "1.5.0", `,"event_code":"inventory.create"`, "", "[]"},
		{"1681545600", "2.0.0", "", "", "[]"},                // another fault
		{"1681545600", "1.6.0", "", `,"unknown":true`, "[]"}, // another fault
	} {
		in := []byte(fmt.Sprintf(device, tt.time, tt.version, tt.code, tt.more))
		out, did := Repair(in)
		if fmt.Sprint(did) != tt.want {
			t.Errorf("%+v: %v", tt, did)
		}
		if did == nil {
			if string(out) != string(in) {
				t.Errorf("%+v: %s", tt, out)
			}
			continue
		}
		if rep, err := ocsf.Default().Errors(out); err != nil || !rep.OK() || rep.Time != 1681545600000 || rep.EventCode != "" {
			t.Errorf("%+v: %v %v %d %q", tt, err, rep.Errors, rep.Time, rep.EventCode)
		}
	}
}
