package importer

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	azureVM = "/subscriptions/aaaa-1/resourcegroups/shop/providers/microsoft.compute/virtualmachines/web"
	// azureRow has the shape of a row of the table resources.
	azureRow = `{"id":"/subscriptions/AAAA-1/resourceGroups/Shop/providers/Microsoft.Compute/virtualMachines/web","name":"web","type":"microsoft.compute/virtualmachines",
		"tenantId":"t-1","kind":"","location":"westeurope","resourceGroup":"shop","subscriptionId":"AAAA-1","managedBy":"","sku":null,"plan":null,
		"properties":{"hardwareProfile":{"vmSize":"Standard_D2s_v5"},"vmId":"7d"},"tags":{"env":"production"},"identity":null,"zones":["1"],"extendedLocation":null}`
)

// azureChange is a row of the table resourcechanges.
func azureChange(kind, at string) string {
	return `{"id":"` + azureVM + `/providers/Microsoft.Resources/changes/0858","name":"0858","type":"microsoft.resources/changes","tenantId":"t-1","location":"","resourceGroup":"shop","subscriptionId":"AAAA-1","tags":null,
		"properties":{"targetResourceId":"/subscriptions/AAAA-1/resourceGroups/Shop/providers/Microsoft.Compute/virtualMachines/web","targetResourceType":"microsoft.compute/virtualmachines","changeType":"` + kind + `",
		"changeAttributes":{"previousResourceSnapshotId":"1","newResourceSnapshotId":"2","correlationId":"c","changesCount":1,"timestamp":"` + at + `","changedBy":"a@example.com","operation":"microsoft.compute/virtualmachines/write"},
		"changes":{"properties.hardwareProfile.vmSize":{"previousValue":"Standard_D2s_v5","newValue":"Standard_D4s_v5","changeCategory":"User","propertyChangeType":"Update"}}}}`
}

func TestAzure(t *testing.T) {
	at := Options{Time: time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC)}
	const whole = "inventory modify " + azureVM + ", configuration modify " + azureVM + "#resource"
	page := func(count, total int, token string) string {
		return fmt.Sprintf(`{"count":%d,"data":[%s],"skip_token":%s,"total_records":%d}`, count, azureRow, token, total)
	}
	listed := strings.Replace(strings.Replace(azureRow, `"properties":{"hardwareProfile":{"vmSize":"Standard_D2s_v5"},"vmId":"7d"}`, `"properties":null,"changedTime":"2026-06-30T09:00:00.1234567+00:00","createdTime":"2026-05-01T00:00:00+00:00"`, 1), `"sku":null`, `"sku":{"name":"S1"}`, 1)
	testCases(t, map[string]sourceCase{
		"az graph query":          {readAzure, page(1, 1, "null"), at, whole, "resources.0.data.resource.properties.vmId", "7d"},
		"its time":                {readAzure, page(1, 1, "null"), at, whole, "time", "1782900000000"},
		"null says nothing":       {readAzure, page(1, 1, "null"), at, whole, "resources.0.data.resource.identity", nil},
		"an array":                {readAzure, "[" + azureRow + "]", at, whole, "cloud.account.uid", "aaaa-1"},
		"one page of two":         {readAzure, page(1, 2, `"tok"`), at, whole + ", more: skip_token: this is one page, or a part, and not all that the source has", "", nil},
		"the first of two":        {readAzure, page(1, 2, "null"), at, whole + ", more: 1 of 2: this is one page, and not all that the source has", "", nil},
		"the REST API":            {readAzure, `{"totalRecords":1,"count":1,"resultTruncated":"false","facets":[],"data":[` + azureRow + `]}`, at, whole, "", nil},
		"the REST API, truncated": {readAzure, `{"totalRecords":1,"count":1,"resultTruncated":"true","data":[` + azureRow + `]}`, at, whole + ", more: resultTruncated: this is one page, or a part, and not all that the source has", "", nil},
		"without a time":          {readAzure, azureRow, Options{}, `problem: "` + azureVM + `" has no time of its own; --time gives one`, "", nil},
		"az resource list":        {readAzure, "[" + listed + "]", Options{}, "inventory modify " + azureVM, "unmapped.sku.name", "S1"},
		"its own time":            {readAzure, "[" + listed + "]", at, "inventory modify " + azureVM, "time", "1782810000123"},
		"a change":                {readAzure, azureChange("Update", "2026-06-30T09:00:00.123Z"), Options{}, "inventory modify " + azureVM, "unmapped.changes", get(mustDecode(azureChange("Update", "x")), "properties.changes")},
		"a creation":              {readAzure, azureChange("Create", "2026-06-30T09:00:00.123Z"), Options{}, "inventory create " + azureVM, "activity_id", "1"},
		"a deletion":              {readAzure, azureChange("Delete", "2026-06-30T09:00:00.123Z"), Options{}, "configuration delete " + azureVM + "#resource, inventory delete " + azureVM, "status_code", "Delete"},
		"another change":          {readAzure, azureChange("Move", "2026-06-30T09:00:00.123Z"), Options{}, `problem: unknown changeType "Move"`, "", nil},
		"a projection":            {readAzure, `[{"name":"web"}]`, at, "problem: not a resource of Azure: no id or no type; project them in the query", "", nil},
		"another id":              {readAzure, `[{"id":"web","type":"t"}]`, at, `problem: "web" is not a resource id`, "", nil},
	})
}

func mustDecode(s string) any {
	v, err := decode([]byte(s))
	if err != nil {
		panic(err)
	}
	return v
}

// TestPages: all pages of a query are all that there is, and some of them are not.
func TestPages(t *testing.T) {
	page := func(n int, token string) string {
		row := strings.ReplaceAll(azureRow, "virtualMachines/web", fmt.Sprintf("virtualMachines/web%d", n))
		return fmt.Sprintf(`{"count":1,"data":[%s],"skip_token":%s,"total_records":3}`, row, token)
	}
	first, second, last := page(1, `"a"`), page(2, `"b"`), page(3, "null")
	for name, tt := range map[string]struct {
		pages []string
		more  int
	}{
		"all": {[]string{last, first, second}, 0}, "two": {[]string{first, last}, 2}, "one of them twice": {[]string{first, first, last}, 3},
		"one twice beside all": {[]string{first, second, first, last}, 0}, "without the last": {[]string{first, second}, 2},
	} {
		items, more := 0, 0
		for _, err := range Sorted(func(yield func(Item, error) bool) {
			for _, p := range tt.pages {
				for item, err := range readAzure(strings.NewReader(p), Options{Time: epoch}) {
					if !yield(item, err) {
						return
					}
				}
			}
		}) {
			if p, ok := err.(*Problem); ok && p.More {
				more++
			} else if err != nil {
				t.Fatal(err)
			} else {
				items++
			}
		}
		if more != tt.more || items != 2*len(tt.pages) {
			t.Errorf("%s: %d items, %d say that there is more, want %d", name, items, more, tt.more)
		}
	}
}

func FuzzAzure(f *testing.F) {
	good, _ := mustDecode(strings.Replace(azureRow, `"sku"`, `"changedTime":"2026-06-30T09:00:00Z","sku"`, 1)).(object)
	seeds := [][]byte{[]byte(`{"count":1,"data":[` + azureRow + `],"skip_token":null,"total_records":1}`), []byte(azureChange("Delete", "2026-06-30T09:00:00.123Z"))}
	fuzz(f, func(r reader, o Options) seq { o.Time = epoch; return readAzure(r, o) }, good, seeds, "data")
}
