package tfschema_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/tiles"
)

// TestCloudFront: what is kept of each public file is kept as long as its object says:
// the policy's least time is not more than its max-age, and its greatest not less.
func TestCloudFront(t *testing.T) {
	text := string(testlog.Must(os.ReadFile("../../terraform/modules/aws/cdn.tf"))(t))
	number := func(policy, name string) int {
		t.Helper()
		m := regexp.MustCompile(`(?s)"aws_cloudfront_cache_policy" "` + policy + `" \{.*?` + name + `\s*= (\d+)`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("the policy %s has no %s", policy, name)
		}
		return testlog.Must(strconv.Atoi(m[1]))(t)
	}
	for _, path := range []string{tiles.CheckpointPath, tiles.KeysPath, tiles.ConfigurationPath, tiles.TilePath(0, 0, 0), tiles.BundlePath(1, 7)} {
		pattern := "/" + path
		if strings.HasPrefix(path, "tile/") {
			pattern = "/tile/*"
		}
		m := regexp.MustCompile(regexp.QuoteMeta(`"`+pattern+`"`) + `\s*= aws_cloudfront_cache_policy\.(\w+)`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("there is no behaviour for %s", pattern)
		}
		_, cacheControl := tiles.Headers(path)
		age := testlog.Must(strconv.Atoi(regexp.MustCompile(`max-age=(\d+)`).FindStringSubmatch(cacheControl)[1]))(t)
		if least, fallback, most := number(m[1], "min_ttl"), number(m[1], "default_ttl"), number(m[1], "max_ttl"); least > age || most < age || fallback > 1 {
			t.Errorf("%s: max-age is %d, and CloudFront keeps it %d to %d s (%d without)", path, age, least, most, fallback)
		}
	}
	if strings.Count(text, "error_caching_min_ttl") != 1 || !strings.Contains(text, "error_caching_min_ttl = 0") {
		t.Error("errors are kept, also that a tile is not there yet")
	}
}
