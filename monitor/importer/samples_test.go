package importer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"
)

// The samples have the shapes of the real formats and invented content. They depend on their size alone.

var epoch = time.Date(2026, 3, 1, 8, 0, 0, 123e6, time.UTC)

func stamp(i int) string {
	return epoch.Add(time.Duration(i) * time.Minute).Format("2006-01-02T15:04:05.000Z")
}

func hexID(r *rand.Rand) string { return fmt.Sprintf("%016x", r.Uint64()) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func jsonLines[T any](vs []T) []byte {
	var b bytes.Buffer
	for _, v := range vs {
		b.Write(append(mustJSON(v), '\n'))
	}
	return b.Bytes()
}

// awsStatuses go round, so that five items have each of them.
var awsStatuses = []string{"ResourceDiscovered", "OK", "ResourceDeleted", "ResourceNotRecorded", "ResourceDeletedNotRecorded"}

// awsSample is one configuration item as in AWS Config's files, of an instance, a bucket or a role in turn.
func awsSample(i int, status string) object {
	r := rand.New(rand.NewPCG(1, uint64(i)))
	const account, region = "340287110954", "eu-central-1"
	ci := object{
		"configurationItemVersion":     "1.3",
		"configurationItemCaptureTime": stamp(i),
		"configurationStateId":         epoch.UnixMilli() + int64(i),
		"configurationStateMd5Hash":    "",
		"configurationItemStatus":      status,
		"awsAccountId":                 account,
		"awsRegion":                    region,
		"relatedEvents":                list{},
		"resourceName":                 nil,
		"resourceCreationTime":         stamp(i - 60),
		"supplementaryConfiguration":   object{},
		"tags":                         object{"env": "production", "owner": fmt.Sprintf("team-%d", r.IntN(9))},
		"relationships":                list{},
	}
	switch i % 3 {
	case 0:
		id := "i-0" + hexID(r)
		ci["resourceType"], ci["resourceId"] = "AWS::EC2::Instance", id
		ci["ARN"] = "arn:aws:ec2:" + region + ":" + account + ":instance/" + id
		ci["availabilityZone"] = region + "b"
		vpc, group := "vpc-0"+hexID(r), "sg-0"+hexID(r)
		ci["relationships"] = list{
			object{"resourceType": "AWS::EC2::VPC", "resourceId": vpc, "resourceName": nil, "name": "Is contained in Vpc"},
			object{"resourceType": "AWS::EC2::SecurityGroup", "resourceId": group, "resourceName": nil, "name": "Is associated with SecurityGroup"},
		}
		ci["configuration"] = object{
			"instanceId": id, "imageId": "ami-0" + hexID(r), "instanceType": "m7i.large", "architecture": "x86_64", "vpcId": vpc,
			"state": object{"code": 16, "name": "running"}, "privateIpAddress": fmt.Sprintf("10.20.%d.%d", r.IntN(256), r.IntN(256)),
			"monitoring": object{"state": "disabled"}, "ebsOptimized": true, "kernelId": nil,
			"blockDeviceMappings": list{object{"deviceName": "/dev/xvda", "ebs": object{"volumeId": "vol-0" + hexID(r), "status": "attached", "deleteOnTermination": true}}},
			"securityGroups":      list{object{"groupName": "web", "groupId": group}},
			"metadataOptions":     object{"httpTokens": "required", "httpPutResponseHopLimit": 2},
			"tags":                list{object{"key": "env", "value": "production"}},
		}
	case 1:
		id := "sample-bucket-" + hexID(r)
		ci["resourceType"], ci["resourceId"], ci["resourceName"] = "AWS::S3::Bucket", id, id
		ci["ARN"], ci["availabilityZone"] = "arn:aws:s3:::"+id, "Regional"
		ci["configuration"] = object{"name": id, "owner": object{"displayName": nil, "id": hexID(r)}, "creationDate": stamp(i - 60)}
		ci["supplementaryConfiguration"] = object{
			"BucketVersioningConfiguration": `{"status":"Enabled","isMfaDeleteEnabled":null}`,
			"BucketPolicy":                  object{"policyText": `{"Statement":[{"Effect":"Deny","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`},
			"AccessControlList":             "private",
		}
	case 2:
		name, id := fmt.Sprintf("deploy-%d", i), "AROA"+hexID(r)
		ci["resourceType"], ci["resourceId"], ci["resourceName"] = "AWS::IAM::Role", id, name
		ci["ARN"] = "arn:aws:iam::" + account + ":role/" + name
		ci["awsRegion"], ci["availabilityZone"] = "global", "Not Applicable"
		ci["configuration"] = object{"path": "/", "roleName": name, "assumeRolePolicyDocument": "%7B%22Version%22%3A%222012-10-17%22%7D", "rolePolicyList": list{}}
	}
	switch status {
	case "ResourceDeleted":
		ci["configuration"], ci["resourceCreationTime"], ci["tags"] = nil, nil, object{}
		ci["supplementaryConfiguration"], ci["relationships"] = object{}, list{}
	case "ResourceNotRecorded", "ResourceDeletedNotRecorded":
		ci["configuration"], ci["relationships"], ci["supplementaryConfiguration"] = nil, list{}, object{}
	}
	return ci
}

func awsSamples(n int) (cis []object) {
	for i := range n {
		cis = append(cis, awsSample(i, awsStatuses[i%len(awsStatuses)]))
	}
	return cis
}

// awsSnapshot is a configuration snapshot file.
func awsSnapshot(n int) []byte {
	return mustJSON(object{"fileVersion": "1.0", "configSnapshotId": "9b8a6e4e-0b1f-4a54-9d0b-2f1c7a6b5e01", "configurationItems": awsSamples(n)})
}

// awsNotification is the message that AWS Config publishes for an item.
func awsNotification(ci object) object {
	return object{
		"messageType": "ConfigurationItemChangeNotification", "recordVersion": "1.3", "notificationCreationTime": stamp(1),
		"configurationItem": ci, "configurationItemDiff": object{"changeType": "UPDATE", "changedProperties": object{}},
	}
}

// gcpSample is one asset as in an export.
func gcpSample(i int) object {
	r := rand.New(rand.NewPCG(2, uint64(i)))
	a := object{
		"updateTime": epoch.Add(time.Duration(i) * time.Minute).Format("2006-01-02T15:04:05.000000Z"),
		"ancestors":  list{"projects/482093571604", "folders/71829304", "organizations/90817263"},
	}
	if i%4 == 3 {
		bucket := "sample-data-" + hexID(r)
		a["name"], a["assetType"] = "//storage.googleapis.com/"+bucket, "storage.googleapis.com/Bucket"
		a["iamPolicy"] = object{"etag": "CAE=", "version": 1, "bindings": list{object{"role": "roles/storage.objectViewer", "members": list{"group:readers@example.com"}}}}
		return a
	}
	vm := fmt.Sprintf("worker-%d", i)
	path := "projects/sample-prod/zones/europe-west3-a/instances/" + vm
	a["name"], a["assetType"] = "//compute.googleapis.com/"+path, "compute.googleapis.com/Instance"
	a["resource"] = object{
		"version": "v1", "discoveryDocumentUri": "https://www.googleapis.com/discovery/v1/apis/compute/v1/rest", "discoveryName": "Instance",
		"parent": "//cloudresourcemanager.googleapis.com/projects/482093571604", "location": "europe-west3-a",
		"data": object{
			"id": fmt.Sprint(r.Uint64()), "name": vm, "status": "RUNNING", "creationTimestamp": "2026-02-27T03:14:15.926-08:00",
			"machineType": "https://www.googleapis.com/compute/v1/projects/sample-prod/zones/europe-west3-a/machineTypes/e2-medium",
			"labels":      object{"env": "production", "tier": "batch"}, "deletionProtection": false, "cpuPlatform": "Intel Broadwell",
			"networkInterfaces": list{object{"name": "nic0", "networkIP": fmt.Sprintf("10.156.%d.%d", r.IntN(256), r.IntN(256)), "stackType": "IPV4_ONLY"}},
			"disks":             list{object{"boot": true, "deviceName": vm, "diskSizeGb": "10", "interface": "SCSI", "mode": "READ_WRITE"}},
		},
	}
	return a
}

func gcpExport(n int) []byte {
	var as []object
	for i := range n {
		as = append(as, gcpSample(i))
	}
	return jsonLines(as)
}

// gcpFeed is the life of each of n assets in a feed: created, changed, deleted.
func gcpFeed(n int) []byte {
	var ms []object
	for i := range n {
		a := gcpSample(i)
		changed := maps.Clone(a)
		changed["updateTime"] = stamp(i + 5)
		gone := object{"name": a["name"], "assetType": a["assetType"], "ancestors": a["ancestors"], "updateTime": stamp(i + 9)}
		ms = append(ms,
			object{"asset": a, "priorAssetState": "DOES_NOT_EXIST", "window": object{"startTime": stamp(i)}},
			object{"asset": changed, "priorAsset": a, "priorAssetState": "PRESENT", "window": object{"startTime": stamp(i + 5)}},
			object{"asset": gone, "priorAsset": changed, "priorAssetState": "PRESENT", "deleted": true, "window": object{"startTime": stamp(i + 9)}})
	}
	return jsonLines(ms)
}

// prowlerSample is a finding as Prowler 5 writes it, with OCSF 1.4.0 and times in seconds.
func prowlerSample(i int) object {
	r := rand.New(rand.NewPCG(3, uint64(i/2))) // two checks for each resource
	bucket := "sample-bucket-" + hexID(r)
	status := []string{"PASS", "FAIL"}[i%2]
	seconds, text := epoch.Unix(), epoch.Format("2006-01-02T15:04:05.000000")
	detail := fmt.Sprintf("S3 Bucket %s check %d: %s.", bucket, i%2, status)
	return object{
		"message": detail, "activity_id": 1, "activity_name": "Create", "category_name": "Findings", "category_uid": 2,
		"class_name": "Detection Finding", "class_uid": 2004, "type_name": "Detection Finding: Create", "type_uid": 200401,
		"metadata": object{
			"event_code": fmt.Sprintf("s3_bucket_check_%d", i%2), "profiles": list{"cloud", "datetime"}, "tenant_uid": "o-sample", "version": "1.4.0",
			"product": object{"name": "Prowler", "uid": "prowler", "vendor_name": "Prowler", "version": "5.4.0"},
		},
		"severity": "Medium", "severity_id": 3, "status": "New", "status_id": 1, "status_code": status, "status_detail": detail,
		"time": seconds, "time_dt": text,
		"finding_info": object{
			"created_time": seconds, "created_time_dt": text, "title": "Sample check", "desc": "A check.", "product_uid": "prowler", "types": list{},
			"uid": fmt.Sprintf("prowler-aws-s3_bucket_check_%d-340287110954-eu-central-1-%s", i%2, bucket),
		},
		"cloud": object{
			"account": object{"name": "retail-production", "type": "AWS Account", "type_id": 10, "uid": "340287110954", "labels": list{}},
			"org":     object{"name": "", "uid": ""}, "provider": "aws", "region": "eu-central-1",
		},
		"resources": list{object{
			"cloud_partition": "aws", "region": "eu-central-1", "group": object{"name": "s3"}, "labels": list{"env:production"},
			"name": bucket, "type": "AwsS3Bucket", "uid": "arn:aws:s3:::" + bucket,
			"data": object{"details": "", "metadata": object{"check": i % 2, "versioning": true}},
		}},
		"remediation":  object{"desc": "Do it.", "references": list{"https://docs.example.com/s3"}},
		"risk_details": "Some risk.",
		"unmapped":     object{"categories": list{}, "notes": "", "compliance": object{"CIS-3.0": list{"2.1.1"}}},
	}
}

func prowlerSamples(n int) (fs []object) {
	for i := range n {
		fs = append(fs, prowlerSample(i))
	}
	return fs
}

func prowlerFile(n int) []byte {
	b, err := json.MarshalIndent(prowlerSamples(n), "", "    ")
	if err != nil {
		panic(err)
	}
	return b
}
