package importer

import (
	"strings"
	"testing"
)

const (
	// terraformShown has the shape of what terraform show -json prints.
	terraformShown = `{"format_version":"1.0","terraform_version":"1.9.0","values":{"outputs":{},"root_module":{
		"resources":[{"address":"aws_db_instance.main","mode":"managed","type":"aws_db_instance","name":"main","provider_name":"registry.terraform.io/hashicorp/aws","schema_version":2,
			"values":{"arn":"arn:aws:rds:eu-central-1:1:db:main","password":"secret","engine":"postgres","kms_key_id":null,"tags":{"env":"x"},"users":[{"name":"a","key":"secret"}],"rest":["secret","shown"]},
			"sensitive_values":{"password":true,"tags":{},"users":[{"key":true}],"rest":[true,false]}},
			{"address":"random_password.p","mode":"managed","type":"random_password","name":"p","provider_name":"registry.terraform.io/hashicorp/random","values":{"result":"secret"},"sensitive_values":{"result":true}},
			{"address":"data.aws_region.r","mode":"data","type":"aws_region","name":"r","provider_name":"registry.terraform.io/hashicorp/aws","values":{"arn":"arn:aws:x:r:1:y"}}],
		"child_modules":[{"address":"module.vm","resources":[{"address":"module.vm.azurerm_linux_virtual_machine.vm[0]","mode":"managed","type":"azurerm_linux_virtual_machine","name":"vm","index":0,"provider_name":"registry.opentofu.org/hashicorp/azurerm",
			"values":{"id":"/subscriptions/A/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/vm","location":"westeurope"},"sensitive_values":{}}]}]}}}`
	// terraformState has the shape of a state file.
	terraformState = `{"version":4,"terraform_version":"1.9.0","serial":7,"lineage":"0b","outputs":{},"resources":[
		{"mode":"managed","type":"aws_db_instance","name":"main","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[{"schema_version":2,"attributes":{"arn":"arn:aws:rds:eu-central-1:1:db:main","password":"secret"},"sensitive_attributes":[],"private":"e30="}]},
		{"module":"module.net","mode":"managed","type":"google_compute_firewall","name":"fw","provider":"module.net.provider[\"registry.terraform.io/hashicorp/google-beta\"]","instances":[{"index_key":"a","attributes":{"self_link":"https://www.googleapis.com/compute/beta/projects/p/global/firewalls/allow","project":"p"}}]},
		{"mode":"managed","type":"aws_route","name":"r","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[{"attributes":{"id":"r-1"}}]}],"check_results":null}`
)

func TestTerraform(t *testing.T) {
	at := Options{Time: epoch}
	const db, vm = "arn:aws:rds:eu-central-1:1:db:main", "/subscriptions/a/resourcegroups/g/providers/microsoft.compute/virtualmachines/vm"
	const shown = "inventory modify " + db + ", configuration modify " + db + "#terraform, inventory modify " + vm + ", configuration modify " + vm + "#terraform"
	const state = "inventory modify " + db + ", inventory modify //compute.googleapis.com/projects/p/global/firewalls/allow"
	testCases(t, map[string]sourceCase{
		"terraform show -json":   {readTerraform, terraformShown, at, shown, "unmapped.conmotion.configuration.uid", vm + "#terraform"},
		"a state file":           {readTerraform, terraformState, at, state, "unmapped.address", "module.net.google_compute_firewall.fw"},
		"without a time":         {readTerraform, terraformShown, Options{}, `problem: "` + db + `" has no time of its own; --time gives one, problem: "` + vm + `" has no time of its own; --time gives one`, "", nil},
		"a plan":                 {readTerraform, `{"format_version":"1.2","planned_values":{},"resource_changes":[]}`, at, "problem: a plan, not a state: terraform show -json without a file prints the state", "", nil},
		"an empty state":         {readTerraform, `{"format_version":"1.0"}`, at, "", "", nil},
		"an attachment of Azure": {readTerraform, `{"resources":[{"mode":"managed","type":"x","provider":"provider[\"a/azurerm\"]","instances":[{"attributes":{"id":"/subscriptions/a/x|/subscriptions/a/y"}}]}]}`, at, "", "", nil},
		"something else":         {readTerraform, `{"a":1}`, at, "problem: not a state of Terraform: neither resources of version 4 nor values.root_module", "", nil},
	})
	r := runAll(t, readTerraform, []byte(terraformShown), at)
	if s := r.events(); strings.Contains(s, "secret") || !strings.Contains(s, `"rest":["shown"]`) || !strings.Contains(s, `"users":[{"name":"a"}]`) {
		t.Errorf("what is sensitive is stored, or what is not is gone:\n%s", s)
	}
	other := runAll(t, readTerraform, []byte(strings.ReplaceAll(terraformShown, "secret", "other")), at)
	if other.events() != r.events() {
		t.Error("a secret can be tried by the identifier of its event")
	}
	if s := runAll(t, readTerraform, []byte(terraformState), at).events(); strings.Contains(s, "secret") {
		t.Error("a state file does not say what is sensitive")
	}
}

func FuzzTerraform(f *testing.F) {
	f.Add(terraformShown)
	f.Add(terraformState)
	f.Fuzz(func(t *testing.T, in string) { // run checks each event
		a, b := run(t, readTerraform, strings.NewReader(in), Options{Time: epoch}), run(t, readTerraform, strings.NewReader(in), Options{Time: epoch})
		if a.events() != b.events() || len(a.problems) != len(b.problems) {
			t.Fatal("another result")
		}
	})
}
