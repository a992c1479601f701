package ocsf_test

import (
	"fmt"
	"log"

	"github.com/conmotion/conmotion/policy/ocsf"
)

func ExampleSchema_Check() {
	report, err := ocsf.Default().Check([]byte(`{
		"class_uid": 5023, "category_uid": 5, "activity_id": 1, "type_uid": 502301, "severity_id": 1,
		"time": 1767268800,
		"metadata": {"version": "1.5.0", "product": {"name": "inventory", "vendor_name": "Northwind Cloud"}},
		"resources": [{"uid": "i-0a52c1f3e8d97b601"}]
	}`))
	if err != nil {
		log.Fatal(err) // not one JSON text with a single meaning
	}
	fmt.Println(report.Class, report.OK())
	for _, finding := range report.Errors {
		fmt.Println(finding.Path, finding.Code)
	}
	// Output:
	// cloud_resources_inventory_info false
	// $.time timestamp_not_milliseconds
}
