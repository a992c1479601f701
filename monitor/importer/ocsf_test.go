package importer

import (
	"fmt"
	"testing"
)

// ocsfCase is the smallest event of a class of another writer, of a later version and with its time in seconds.
func ocsfCase(class, activity int, code, more string) string {
	return fmt.Sprintf(`{"class_uid":%d,"category_uid":%d,"activity_id":%d,"type_uid":%d,"severity_id":1,"time":1781545600,"metadata":{"product":{"name":"P","vendor_name":"Another"},"version":"1.6.0","profiles":["cloud"]%s},"cloud":{"provider":"AWS","account":{"uid":"1"}},%s}`,
		class, class/1000, activity, class*100+activity, code, more)
}

func TestOCSF(t *testing.T) {
	const device, resource, entity = `"device":{"uid":"d-1","type_id":1}`, `"resources":[{"uid":"i-1","type":"AWS::EC2::VPC","region":"r","data":{"a":1}}]`, `"entity":{"uid":"e-1","type_id":1,"name":"e"}`
	const finding = `"finding_info":{"uid":"f","title":"t"},"resources":[{"uid":"arn:aws:s3:::b","type":"AwsS3Bucket"}]`
	one := ocsfCase(2004, 1, "", finding)
	testCases(t, map[string]sourceCase{
		"a device":                       {readOCSF, ocsfCase(5001, 2, "", device), Options{}, "inventory modify d-1", "metadata.event_code", "inventory.modify"},
		"of another version":             {readOCSF, ocsfCase(5001, 2, "", device), Options{}, "inventory modify d-1", "unmapped.original", object{"$.metadata.version": "1.6.0", "$.time": "1781545600"}},
		"with an attribute of it":        {readOCSF, ocsfCase(5001, 2, "", device+`,"new":1`), Options{}, "inventory modify d-1", "unmapped.original", object{"$.metadata.version": "1.6.0", "$.time": "1781545600", "$.new": "1"}},
		"with a word of its own":         {readOCSF, ocsfCase(5001, 2, `,"event_code":"team.add"`, device), Options{}, "inventory modify d-1", "unmapped.original", object{"$.metadata.version": "1.6.0", "$.time": "1781545600", "$.metadata.event_code": "team.add"}},
		"that says what it records":      {readOCSF, ocsfCase(5001, 2, `,"event_code":"inventory.delete"`, device), Options{}, "inventory delete d-1", "", nil},
		"a cloud resource":               {readOCSF, ocsfCase(5023, 2, "", resource), Options{}, "inventory modify i-1, configuration modify i-1", "resources.0.data.a", "1"},
		"without data":                   {readOCSF, ocsfCase(5023, 2, "", `"resources":[{"uid":"i-1"}]`), Options{}, "inventory modify i-1", "", nil},
		"a state":                        {readOCSF, ocsfCase(5019, 1, "", device+`,"state_id":2`), Options{}, "configuration modify d-1", "", nil},
		"an entity":                      {readOCSF, ocsfCase(3004, 1, "", entity), Options{}, "inventory create e-1", "", nil},
		"is gone":                        {readOCSF, ocsfCase(3004, 4, "", entity), Options{}, "inventory delete e-1", "", nil},
		"is changed":                     {readOCSF, ocsfCase(3004, 3, "", entity), Options{}, "inventory modify e-1", "", nil},
		"is read":                        {readOCSF, ocsfCase(3004, 2, "", entity), Options{}, "problem: activity_id 2 of Entity Management is Read: nothing happened", "", nil},
		"a finding":                      {readOCSF, one, Options{}, "finding create arn:aws:s3:::b", "", nil},
		"and its resource":               {readOCSF, one, Options{Inventory: true}, "finding create arn:aws:s3:::b, inventory modify arn:aws:s3:::b", "", nil},
		"Security Hub's answer":          {readOCSF, `{"Findings":[` + one + `],"NextToken":"x"}`, Options{}, "finding create arn:aws:s3:::b, more: NextToken: this is one page, or a part, and not all that the source has", "", nil},
		"Security Hub's event":           {readOCSF, `{"version":"0","detail-type":"Findings Imported V2","source":"aws.securityhub","detail":{"findings":[` + one + `,1]}}`, Options{}, "finding create arn:aws:s3:::b, problem: a finding that is not an object", "", nil},
		"another class":                  {readOCSF, ocsfCase(1007, 1, "", device), Options{}, `problem: class_uid "1007" is none of 2003, 2004, 3004, 5001, 5019 and 5023`, "", nil},
		"what cannot be put right":       {readOCSF, ocsfCase(5001, 2, "", `"device":{"uid":"d-1"}`), Options{}, `problem: not valid: $.device.type_id: required attribute is missing (attribute_required_missing)`, "", nil},
		"another version altogether":     {readOCSF, `{"class_uid":5001}`, Options{}, `problem: not valid: $.activity_id: required attribute is missing (attribute_required_missing)`, "", nil},
		"an event of something else":     {readOCSF, `{"detail":{}}`, Options{}, `problem: an event of EventBridge without findings in detail`, "", nil},
		"an identifier is kept":          {readOCSF, ocsfCase(5001, 2, `,"uid":"own"`, device), Options{}, "inventory modify d-1", "metadata.uid", "own"},
		"an integer beyond 2^53 is kept": {readOCSF, ocsfCase(5023, 2, "", `"resources":[{"uid":"i-1","data":{"v":9223372036854775807}}]`), Options{}, "inventory modify i-1, configuration modify i-1", "resources.0.data.v", "9223372036854775807"},
	})
}

func FuzzOCSF(f *testing.F) {
	const device = `"device":{"uid":"d-1","type_id":1}`
	good, _ := mustDecode(ocsfCase(5001, 2, "", device)).(object)
	seeds := [][]byte{[]byte(ocsfCase(5023, 2, "", `"resources":[{"uid":"i-1","data":{"a":1}}]`)), []byte(`{"Findings":[` + ocsfCase(2004, 1, "", device) + `]}`), []byte(ocsfCase(3004, 4, "", `"entity":{"uid":"e"}`))}
	fuzz(f, readOCSF, good, seeds, "Findings", "findings", "events")
}
