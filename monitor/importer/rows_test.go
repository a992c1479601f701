package importer

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func exampleMapping(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/mapping.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRows(t *testing.T) {
	o := Options{Flags: map[string]string{"mapping": exampleMapping(t)}, File: "out/aws_s3_buckets/1.json"}
	other := o
	other.File, other.Time = "all.json", epoch
	const bucket = "inventory modify arn:aws:s3:::b, configuration modify arn:aws:s3:::b#row"
	const vpc = "inventory modify arn:aws:ec2:r:1:vpc/vpc-1, configuration modify arn:aws:ec2:r:1:vpc/vpc-1#row"
	const cloudquery = `{"_cq_id":"9","_cq_sync_time":"2026-03-01T08:00:00.123456Z","arn":"arn:aws:s3:::b","name":"b","account_id":"1","region":"eu-central-1","tags":{"env":"x"},"versioning":true,"policy":"{\"Version\":\"1\"}"}`
	const steampipe = `{"columns":[{"name":"id","data_type":"text"}],"rows":[{"id":"vpc-1","resource_type":"AWS::EC2::VPC","account_id":"1","region":"r","cidr":"10.0.0.0/8"}],"metadata":{"rows_returned":1}}`
	testCases(t, map[string]sourceCase{
		"CloudQuery":            {readRows, cloudquery, o, bucket, "resources.0.data.row", object{"versioning": "true", "policy": object{"Version": "1"}}},
		"its time":              {readRows, cloudquery, o, bucket, "time", "1772352000123"},
		"its account":           {readRows, cloudquery, o, bucket, "cloud.account.uid", "1"},
		"Steampipe":             {readRows, steampipe, other, vpc, "resources.0.data.row.cidr", "10.0.0.0/8"},
		"Steampipe before 0.24": {readRows, `[{"id":"vpc-1","resource_type":"AWS::EC2::VPC","account_id":"1","region":"r","cidr":"10.0.0.0/8"}]`, other, vpc, "resources.0.uid_alt", "vpc-1"},
		"CSV":                   {readRows, "\nid,resource_type,account_id,region,ports\nvpc-1,AWS::EC2::VPC,1,r,\"[1,\n2]\"\n", other, vpc, "resources.0.data.row.ports", list{"1", "2"}},
		"only names":            {readRows, "arn,name,_cq_sync_time\narn:aws:s3:::b,b,2026-03-01T08:00:00Z\n", o, "inventory modify arn:aws:s3:::b", "", nil},
		"without a time":        {readRows, `[{"arn":"arn:aws:s3:::b"}]`, o, `problem: "arn:aws:s3:::b" has no time of its own; --time gives one`, "", nil},
		"without an identity":   {readRows, `[{"name":"b"}]`, o, `problem: a row without the columns "arn" and "=aws" that the mapping names`, "", nil},
	})
	one := Options{Flags: map[string]string{"mapping": `{"tables":[{"files":"a","uid":"u","provider":"=p","type":"=t"}]}`}, File: "b/c.json"}
	testCases(t, map[string]sourceCase{"another file": {readRows, `{"u":"x"}`, one, "problem: the mapping has no table for this file", "", nil}})
	for name, text := range map[string]string{
		"YAML":           "# of one table\ntables:\n- {files: a, provider: =p, type: '=t', uid: u}\n",
		"JSON with tabs": "{\n\t\"tables\":\t[\n\t\t{\"files\": \"a\", \"provider\": \"=p\", \"type\": \"=t\", \"uid\": \"\\u0075\"}\n\t]\n}\n",
	} {
		m, err := readMapping(text)
		if want := (table{Files: "a", Provider: "=p", Type: "=t", UID: "u"}); err != nil || len(m.Tables) != 1 || !reflect.DeepEqual(m.Tables[0], want) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	for text, want := range map[string]string{
		"": "EOF", "tables: [": "yaml: ", "tables:\n- 1: x": "unsupported type", "tables: []\n---\ntables: []": "one object", "tables: 1\ntables: 2": "already defined", "{}": "one object with tables", `{"tables":[{"uid":"u"}]}`: "table 1 lacks", `{"tables":[{"id":"u"}]}`: "unknown field", `{"tables":[{"uid":"u","provider":"=p","type":"=t"}]} 1`: "one object",
		`{"tables":[{"uid":"u","provider":"=p","type":"=t","files":"["}]}`: "syntax error in pattern",
	} {
		if r := run(t, readRows, strings.NewReader("{}"), Options{Flags: map[string]string{"mapping": text}}); r.err == nil || !strings.Contains(r.err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, r.err, want)
		}
	}
	if r := run(t, readRows, strings.NewReader("a,b\n1\n"), other); r.err == nil || !strings.Contains(r.err.Error(), "wrong number of fields") {
		t.Errorf("%v", r.err)
	}
}

func FuzzRows(f *testing.F) {
	o := Options{Flags: map[string]string{"mapping": exampleMapping(f)}, Time: epoch}
	for _, seed := range []string{`{"rows":[{"id":"vpc-1","resource_type":"AWS::EC2::VPC","account_id":"1","region":"r","a":1}]}`, "id,resource_type\nvpc-1,x\n", `[{"id":1}]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) { // run checks each event
		a, b := run(t, readRows, strings.NewReader(in), o), run(t, readRows, strings.NewReader(in), o)
		if a.events() != b.events() || len(a.problems) != len(b.problems) {
			t.Fatal("another result")
		}
	})
}

func FuzzMapping(f *testing.F) {
	for _, seed := range []string{exampleMapping(f), "tables:\n- {provider: =p, type: t, uid: u, leave_out: [a*]}", "a: &a [*a]", "1: 2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := readMapping(text); err == nil && (len(m.Tables) == 0 || m.Tables[0].UID == "") {
			t.Fatalf("%+v", m)
		}
	})
}
