package tfschema_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/tfschema"
)

// TestModules: every resource, block, argument and reference in terraform/ is one that
// the providers have, what they need is there, and the extract has nothing else.
func TestModules(t *testing.T) {
	modules := testlog.Must(tfschema.Modules("../../terraform"))(t)
	providers := testlog.Must(tfschema.Providers())(t)
	if len(modules) < 7 {
		t.Fatalf("only %d modules", len(modules))
	}
	for _, m := range modules {
		for _, wrong := range m.Check(providers) {
			t.Error(wrong)
		}
	}
	used := tfschema.Used(modules)
	for name, p := range providers {
		for kind := range p.Resources {
			if !slices.Contains(used, kind) {
				t.Errorf("the extract of %s has %s, which no module uses", name, kind)
			}
		}
	}
}

// TestCheck: what is wrong is found.
func TestCheck(t *testing.T) {
	providers := testlog.Must(tfschema.Providers())(t)
	for source, want := range map[string]string{
		`resource "aws_s3_bucket" "a" { bukcet = "a" }`:                                                                                          `aws_s3_bucket has no argument "bukcet"`,
		`resource "aws_s3_bucket" "a" { bucket_regional_domain_name = "a" }`:                                                                     `sets "bucket_regional_domain_name" itself`,
		`resource "aws_s3_bucket_policy" "a" { bucket = "a" }`:                                                                                   `aws_s3_bucket_policy needs "policy"`,
		`resource "aws_s3_bucket_versioning" "a" { bucket = "a" }`:                                                                               `needs a block "versioning_configuration"`,
		"resource \"aws_s3_bucket_versioning\" \"a\" {\nbucket = \"a\"\nversioning_configuration {\n}\n}":                                        `aws_s3_bucket_versioning.versioning_configuration needs "status"`,
		"resource \"aws_s3_bucket\" \"a\" {\nconfiguration {\n}\n}":                                                                              `no block "configuration"`,
		"resource \"aws_launch_template\" \"a\" {\nmetadata_options {\n}\nmetadata_options {\n}\n}":                                              `at most one block "metadata_options"`,
		"resource \"aws_cloudfront_vpc_origin\" \"a\" {\ndynamic \"vpc_origin_endpoint_config\" {\nfor_each = [1]\ncontent {\nnmae = 1\n}\n}\n}": `has no argument "nmae"`,
		"resource \"aws_s3_bucket\" \"a\" {\nbucket = aws_s3_bucket.b.bucket\n}":                                                                 `aws_s3_bucket.b is not declared`,
		"resource \"aws_s3_bucket\" \"a\" {\ncount = 2\n}\noutput \"o\" {\nvalue = aws_s3_bucket.a[0].buckt\n}":                                  `aws_s3_bucket has no attribute "buckt"`,
		"locals {\na = var.b\n}":                         `var.b is not declared`,
		"data \"aws_caller_identity\" \"a\" {\nx = 1\n}": `data.aws_caller_identity has no argument "x"`,
		`resource "aws_unknown" "a" {}`:                  `the schema of aws_unknown is not in the extract`,
	} {
		dir := t.TempDir()
		write(t, dir+"/main.tf", source)
		m := testlog.Must(tfschema.Modules(dir))(t)
		if wrong := strings.Join(m[0].Check(providers), "\n"); !strings.Contains(wrong, want) {
			t.Errorf("%s\nwant %q, got %q", source, want, wrong)
		}
	}
}
