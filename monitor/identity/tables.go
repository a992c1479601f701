package identity

import "strings"

// rules make an identity of what a source says of an asset, by provider in lower case; "" where the table has nothing.
var rules = map[string]func(Source) string{
	"aws": aws, "gcp": gcp, "azure": func(Source) string { return "" }, "kubernetes": kube,
}

// arns are the ARNs of AWS's types behind the partition, as the Service Authorization Reference lists them under
// "Resource types": {r} is the region, {a} the account, {i} the id, {n} the name. Types whose ARN has a part that neither
// is, such as the path of an IAM role, are not here.
var arns = map[string]string{
	"AWS::EC2::Instance": "ec2:{r}:{a}:instance/{i}", "AWS::EC2::SecurityGroup": "ec2:{r}:{a}:security-group/{i}",
	"AWS::EC2::Volume": "ec2:{r}:{a}:volume/{i}", "AWS::EC2::VPC": "ec2:{r}:{a}:vpc/{i}", "AWS::EC2::Subnet": "ec2:{r}:{a}:subnet/{i}",
	"AWS::EC2::NetworkInterface": "ec2:{r}:{a}:network-interface/{i}", "AWS::EC2::InternetGateway": "ec2:{r}:{a}:internet-gateway/{i}",
	"AWS::EC2::NatGateway": "ec2:{r}:{a}:natgateway/{i}", "AWS::EC2::RouteTable": "ec2:{r}:{a}:route-table/{i}",
	"AWS::EC2::NetworkAcl": "ec2:{r}:{a}:network-acl/{i}", "AWS::S3::Bucket": "s3:::{i}", "AWS::KMS::Key": "kms:{r}:{a}:key/{i}",
	"AWS::Lambda::Function": "lambda:{r}:{a}:function:{n}", "AWS::DynamoDB::Table": "dynamodb:{r}:{a}:table/{n}",
	"AWS::RDS::DBInstance": "rds:{r}:{a}:db:{n}", "AWS::RDS::DBCluster": "rds:{r}:{a}:cluster:{n}", "AWS::SQS::Queue": "sqs:{r}:{a}:{n}",
	"AWS::CloudTrail::Trail": "cloudtrail:{r}:{a}:trail/{n}", "AWS::EKS::Cluster": "eks:{r}:{a}:cluster/{n}", "AWS::ECR::Repository": "ecr:{r}:{a}:repository/{n}",
}

// securityHub are the types of the AWS Security Finding Format, which Prowler uses, where they are not the type's name
// without its colons.
var securityHub = map[string]string{"AwsRdsDbInstance": "AWS::RDS::DBInstance", "AwsRdsDbCluster": "AWS::RDS::DBCluster", "AwsEc2Vpc": "AWS::EC2::VPC"}

func aws(s Source) string {
	form, ok := arns[s.Type]
	for typ, other := range arns {
		if ok {
			break
		}
		if typ == securityHub[s.Type] || strings.EqualFold(strings.ReplaceAll(typ, "::", ""), s.Type) {
			form, ok = other, true
		}
	}
	partition := "aws"
	switch {
	case strings.HasPrefix(s.Region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(s.Region, "us-gov-"):
		partition = "aws-us-gov"
	}
	return fill("arn:"+partition+":", form, s)
}

// names are the full resource names of Google Cloud's types, as Cloud Asset Inventory has them ("Asset names"), by its
// types and by the words that Prowler has for them: {a} is the project, {r} the region, {n} the name. Types that are
// named by the project's number, a zone or a parent that Prowler does not say are not here.
var names = map[string]string{
	"FirewallRule": "compute.googleapis.com/projects/{a}/global/firewalls/{n}", "compute.googleapis.com/Firewall": "compute.googleapis.com/projects/{a}/global/firewalls/{n}",
	"Network": "compute.googleapis.com/projects/{a}/global/networks/{n}", "compute.googleapis.com/Network": "compute.googleapis.com/projects/{a}/global/networks/{n}",
	"Subnetwork": "compute.googleapis.com/projects/{a}/regions/{r}/subnetworks/{n}", "compute.googleapis.com/Subnetwork": "compute.googleapis.com/projects/{a}/regions/{r}/subnetworks/{n}",
	"Bucket": "storage.googleapis.com/{n}", "storage.googleapis.com/Bucket": "storage.googleapis.com/{n}",
	"Dataset": "bigquery.googleapis.com/projects/{a}/datasets/{n}", "bigquery.googleapis.com/Dataset": "bigquery.googleapis.com/projects/{a}/datasets/{n}",
	"DatabaseInstance": "cloudsql.googleapis.com/projects/{a}/instances/{n}", "sqladmin.googleapis.com/Instance": "cloudsql.googleapis.com/projects/{a}/instances/{n}",
	"Project": "cloudresourcemanager.googleapis.com/projects/{a}", "cloudresourcemanager.googleapis.com/Project": "cloudresourcemanager.googleapis.com/projects/{a}",
}

// words are what sources call the type of an asset.
func words(s Source) []string {
	all := []string{s.Type}
	switch strings.ToLower(s.Provider) {
	case "gcp":
		for typ, form := range names {
			if form == names[s.Type] && typ != s.Type {
				all = append(all, typ)
			}
		}
	case "kubernetes":
		if kind, _, ok := strings.Cut(s.Type, "."); ok {
			all = append(all, kind)
		}
	}
	return all
}

func gcp(s Source) string { return fill("//", names[s.Type], s) }

func kube(s Source) string {
	if s.Account == "" || s.Type == "" || s.Name == "" {
		return ""
	}
	// Kubernetes API Concepts: a group's name is a DNS subdomain, and those of Kubernetes itself have no dot or end in
	// .k8s.io. An Ingress is the same in extensions and networking.k8s.io. Only a group of others tells kinds apart.
	kind := s.Type
	if name, group, ok := strings.Cut(kind, "."); ok && (!strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")) {
		kind = name
	}
	return kubernetes + strings.Join([]string{s.Account, s.Namespace, kind, s.Name}, "/")
}

// fill puts a source's words into a form; "" where it lacks one.
func fill(prefix, form string, s Source) string {
	if form == "" {
		return ""
	}
	for _, part := range []struct{ mark, value string }{{"{r}", s.Region}, {"{a}", s.Account}, {"{i}", s.UID}, {"{n}", s.Name}} {
		if !strings.Contains(form, part.mark) {
			continue
		}
		if part.value == "" || strings.ContainsAny(part.value, "/{}") {
			return ""
		}
		form = strings.ReplaceAll(form, part.mark, part.value)
	}
	return prefix + form
}
