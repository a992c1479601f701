package identity

import (
	"fmt"
	"testing"
)

func TestOf(t *testing.T) {
	for _, tt := range []struct {
		in   Source
		want string
	}{
		// AWS
		{Source{Provider: "aws", UID: "arn:aws:s3:::b"}, "arn:aws:s3:::b"},
		{Source{Provider: "aws", Account: "1", Region: "eu-central-1", Type: "AWS::EC2::SecurityGroup", UID: "sg-0"}, "arn:aws:ec2:eu-central-1:1:security-group/sg-0"},
		{Source{Provider: "AWS", Account: "1", Region: "cn-north-1", Type: "AwsEc2SecurityGroup", UID: "sg-0"}, "arn:aws-cn:ec2:cn-north-1:1:security-group/sg-0"},
		{Source{Provider: "aws", Account: "1", Region: "us-gov-east-1", Type: "AwsRdsDbInstance", UID: "db-A", Name: "main"}, "arn:aws-us-gov:rds:us-gov-east-1:1:db:main"},
		{Source{Provider: "aws", Type: "AWS::S3::Bucket", UID: "b"}, "arn:aws:s3:::b"},
		{Source{Provider: "aws", Account: "1", Region: "r", Type: "AWS::IAM::Role", UID: "AROA1"}, "aws/1/r/AWS::IAM::Role/AROA1"},
		{Source{Provider: "aws", Account: "1", Type: "AWS::EC2::VPC", UID: "vpc-1"}, "aws/1//AWS::EC2::VPC/vpc-1"}, // no region: nothing is guessed
		// Google Cloud
		{Source{Provider: "gcp", Account: "p", Region: "global", Type: "FirewallRule", UID: "579", Name: "allow"}, "//compute.googleapis.com/projects/p/global/firewalls/allow"},
		{Source{Provider: "gcp", UID: "https://www.googleapis.com/compute/v1/projects/p/global/firewalls/allow"}, "//compute.googleapis.com/projects/p/global/firewalls/allow"},
		{Source{Provider: "gcp", UID: "https://compute.googleapis.com/compute/v1/projects/p/global/firewalls/allow"}, "//compute.googleapis.com/projects/p/global/firewalls/allow"},
		{Source{Provider: "gcp", UID: "https://container.googleapis.com/v1beta1/projects/p/locations/eu/clusters/c"}, "//container.googleapis.com/projects/p/locations/eu/clusters/c"},
		{Source{Provider: "gcp", UID: "https://www.googleapis.com/storage/v1/b/bucket2"}, "//storage.googleapis.com/bucket2"},
		{Source{Provider: "gcp", Account: "p", Region: "global", Type: "Service", UID: "x.googleapis.com"}, "gcp/p/global/Service/x.googleapis.com"},
		{Source{Provider: "gcp", Account: "q", Region: "global", Type: "Service", UID: "x.googleapis.com"}, "gcp/q/global/Service/x.googleapis.com"},
		// Azure
		{Source{Provider: "azure", UID: "/Subscriptions/A/resourceGroups/G/"}, "/subscriptions/a/resourcegroups/g"},
		{Source{Provider: "azure", Account: "a", Region: "global", Type: "AzureDefenderPlan", UID: "VirtualMachines"}, "azure/a/global/AzureDefenderPlan/VirtualMachines"},
		// Kubernetes
		{Source{Provider: "kubernetes", Account: "c", Namespace: "n", Type: "Pod", UID: "0-1-2", Name: "web"}, "k8s://c/n/Pod/web"},
		{Source{Provider: "kubernetes", Account: "c", Namespace: "n", Type: "Deployment.apps", UID: "0-1-2", Name: "web"}, "k8s://c/n/Deployment/web"},
		{Source{Provider: "kubernetes", Account: "c", Namespace: "n", Type: "Ingress.networking.k8s.io", UID: "0-1-2", Name: "web"}, "k8s://c/n/Ingress/web"},
		{Source{Provider: "kubernetes", Account: "c", Namespace: "n", Type: "Cluster.cluster.x-k8s.io", UID: "0-1-2", Name: "web"}, "k8s://c/n/Cluster.cluster.x-k8s.io/web"},
		{Source{Provider: "kubernetes", Type: "Pod", UID: "0-1-2", Name: "web"}, "0-1-2"},
		// Others, and what cannot be qualified
		{Source{Provider: "Northwind Cloud", Account: "1", UID: "i-1"}, "i-1"},
		{Source{UID: "aws/x"}, "aws/x"},
		{Source{Provider: "aws", UID: "i-1"}, "i-1"},
		{Source{}, ""},
	} {
		got := Of(tt.in)
		if got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.in, got, tt.want)
		}
		again := tt.in
		again.UID = got
		if twice := Of(again); twice != got {
			t.Errorf("%+v: %q, and of that %q", tt.in, got, twice)
		}
	}
}

func TestAliases(t *testing.T) {
	for _, tt := range []struct {
		in   Source
		alt  string
		want string
	}{
		{Source{Provider: "gcp", Account: "p", Region: "global", Type: "compute.googleapis.com/Firewall", UID: "//compute.googleapis.com/projects/p/global/firewalls/allow"}, "579",
			"[579 gcp/p/global/FirewallRule/579 gcp/p/global/compute.googleapis.com/Firewall/579]"},
		{Source{Provider: "gcp", Account: "p", Region: "global", Type: "FirewallRule", UID: "579", Name: "allow"}, "", "[579 gcp/p/global/FirewallRule/579 gcp/p/global/compute.googleapis.com/Firewall/579]"},
		{Source{Provider: "gcp", UID: "//compute.googleapis.com/projects/p/global/firewalls/allow"}, "https://www.googleapis.com/compute/v1/projects/p/global/firewalls/allow", "[]"},
		{Source{Provider: "kubernetes", Account: "c", Namespace: "n", Type: "Cluster.cluster.x-k8s.io", UID: "k8s://c/n/Cluster.cluster.x-k8s.io/web", Name: "web"}, "0-1",
			"[0-1 kubernetes/c//Cluster.cluster.x-k8s.io/0-1 kubernetes/c//Cluster/0-1]"},
		{Source{Provider: "aws", Account: "1", Region: "r", Type: "AWS::EC2::Instance", UID: "arn:aws:ec2:r:1:instance/i-1"}, "i-1", "[i-1]"},
		{Source{Provider: "aws", Account: "1", Region: "r", Type: "AWS::IAM::Role", UID: "arn:aws:iam::1:role/x/y"}, "AROA1", "[AROA1 aws/1/r/AWS::IAM::Role/AROA1]"},
		{Source{Provider: "aws", UID: "arn:aws:s3:::a"}, "arn:aws:s3:::b", "[]"}, // both are known to others: two assets
		{Source{Provider: "Northwind Cloud", Account: "1", UID: "i-1"}, "n-1", "[n-1]"},
		{Source{UID: "i-1"}, "", "[]"},
	} {
		if got := fmt.Sprint(Aliases(tt.in, tt.alt)); got != tt.want {
			t.Errorf("%+v, %q: %s, want %s", tt.in, tt.alt, got, tt.want)
		}
	}
}

func TestLocal(t *testing.T) {
	for id, want := range map[string]bool{"gcp/p/global/Service/x": true, "aws/1//AWS::EC2::VPC/v": true, "aws/x": false, "arn:aws:s3:::b": false, "i-1": false, "": false} {
		if Local(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add("aws", "1", "r", "AWS::EC2::VPC", "i", "n")
	f.Add("gcp", "p", "r", "Bucket", "https://www.googleapis.com/storage/v1/b/x", "x")
	f.Fuzz(func(t *testing.T, provider, account, region, typ, uid, name string) {
		s := Source{Provider: provider, Account: account, Region: region, Type: typ, UID: uid, Name: name}
		id := Of(s)
		if (id == "") != (uid == "") {
			t.Fatalf("%+v: %q", s, id)
		}
		if s.UID = id; Of(s) != id {
			t.Fatalf("%q is not its own identity: %q", id, Of(s))
		}
	})
}

func ExampleOf() {
	asConfig := Of(Source{Provider: "aws", Account: "123456789012", Region: "eu-central-1", Type: "AWS::EC2::Instance", UID: "i-1"})
	asProwler := Of(Source{Provider: "aws", UID: "arn:aws:ec2:eu-central-1:123456789012:instance/i-1"})
	fmt.Println(asConfig == asProwler, asConfig)
	// Output: true arn:aws:ec2:eu-central-1:123456789012:instance/i-1
}
