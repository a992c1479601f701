package importer

import (
	"strings"
	"testing"
	"time"
)

// kubernetesDeployment has the shape of what kubectl get --show-managed-fields prints.
const kubernetesDeployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"0a-1","resourceVersion":"881","generation":3,
	"creationTimestamp":"2026-05-01T10:00:00Z","labels":{"app":"web"},
	"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"spec\":{\"password\":\"x\"}}","team":"shop"},
	"managedFields":[{"manager":"kubectl","operation":"Apply","time":"2026-06-01T10:00:00Z","fieldsV1":{}},
		{"manager":"hpa","operation":"Update","time":"2026-06-02T10:00:00Z","subresource":"scale","fieldsV1":{}},
		{"manager":"kube-controller-manager","operation":"Update","time":"2026-06-30T10:00:00Z","subresource":"status","fieldsV1":{}}]},
	"spec":{"replicas":2},"status":{"readyReplicas":2}}`

func TestKubernetes(t *testing.T) {
	o := Options{Flags: map[string]string{"cluster": "prod"}}
	at := o
	at.Time = time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC)
	const web = "k8s://prod/shop/Deployment/web"
	const whole = "inventory modify " + web + ", configuration modify " + web + "#object"
	const bare = `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","uid":"0b"},"spec":{"finalizers":["kubernetes"]}}`
	list := `{"apiVersion":"v1","items":[` + kubernetesDeployment + "," + bare + `],"kind":"List","metadata":{"resourceVersion":""}}`
	watch := func(kind, object string) string { return `{"type":"` + kind + `","object":` + object + `}` }
	const gone = "configuration delete " + web + "#object, inventory delete " + web
	testCases(t, map[string]sourceCase{
		"a list": {readKubernetes, list, at, whole + ", inventory modify k8s://prod//Namespace/shop, configuration modify k8s://prod//Namespace/shop#object", "time", "1782900000000"},
		"an object has the time of its last change but one of the status": {readKubernetes, kubernetesDeployment, at, whole, "time", "1780394400000"},
		"the configuration": {readKubernetes, kubernetesDeployment, o, whole, "resources.0.data.object",
			object{"apiVersion": "apps/v1", "kind": "Deployment", "spec": object{"replicas": "2"},
				"metadata": object{"name": "web", "namespace": "shop", "labels": object{"app": "web"}, "annotations": object{"team": "shop"}}}},
		"the uid is an alias":        {readKubernetes, kubernetesDeployment, o, whole, "resources.0.uid_alt", "0a-1"},
		"the cluster":                {readKubernetes, kubernetesDeployment, o, whole, "cloud.account.uid", "prod"},
		"without a time":             {readKubernetes, bare, o, `problem: "k8s://prod//Namespace/shop" has no time of its own; --time gives one`, "", nil},
		"a page":                     {readKubernetes, `{"kind":"List","metadata":{"continue":"x","resourceVersion":"1"},"items":[]}`, o, "more: metadata.continue: this is one page, or a part, and not all that the source has", "", nil},
		"a page of the API":          {readKubernetes, `{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"x"}}]}`, o, "problem: not an object of Kubernetes: no apiVersion, kind or metadata.name; kubectl get -o json gives them", "", nil},
		"a watch begins with all":    {readKubernetes, watch("ADDED", kubernetesDeployment), o, whole, "activity_id", "2"},
		"a change":                   {readKubernetes, watch("MODIFIED", kubernetesDeployment), o, whole, "activity_id", "1"},
		"a deletion":                 {readKubernetes, watch("DELETED", kubernetesDeployment), at, gone, "time", "1782900000000"},
		"its own time":               {readKubernetes, watch("DELETED", strings.Replace(kubernetesDeployment, `"generation"`, `"deletionTimestamp":"2026-07-02T10:00:30Z","deletionGracePeriodSeconds":30,"generation"`, 1)), at, gone, "time", "1782986400000"},
		"not before its last change": {readKubernetes, watch("DELETED", strings.Replace(kubernetesDeployment, `"generation"`, `"deletionTimestamp":"2026-06-01T12:00:00Z","generation"`, 1)), o, gone, "time", "1780394400000"},
		"not before the watch began": {readKubernetes, watch("DELETED", strings.Replace(kubernetesDeployment, `"generation"`, `"deletionTimestamp":"2026-06-30T10:00:00Z","generation"`, 1)), at, gone, "time", "1782900000000"},
		"without any time":           {readKubernetes, watch("DELETED", bare), o, `problem: "k8s://prod//Namespace/shop" has no time of its own; --time gives one`, "", nil},
		"a bookmark":                 {readKubernetes, watch("BOOKMARK", `{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"9"}}`), o, "", "", nil},
		"an error":                   {readKubernetes, watch("ERROR", `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old resource version","code":410}`), o, `problem: the watch ended with an error: "too old resource version"; begin a new one`, "", nil},
		"another word":               {readKubernetes, watch("CHANGED", bare), o, `problem: unknown type "CHANGED" of a watch`, "", nil},
	})
	a, b := runAll(t, readKubernetes, []byte(kubernetesDeployment), o), runAll(t, readKubernetes, []byte(strings.NewReplacer(`"881"`, `"999"`, `"readyReplicas":2`, `"readyReplicas":1`).Replace(kubernetesDeployment)), o)
	for i := range a.items {
		if got, want := get(mustDecode(string(a.items[i].Event)), "resources"), get(mustDecode(string(b.items[i].Event)), "resources"); string(encode(got)) != string(encode(want)) {
			t.Errorf("the status changes what is recorded: %v, %v", got, want)
		}
	}
}

// TestKubernetesWatch: what a watch says last of an object is last, also where its deletion has no time.
func TestKubernetesWatch(t *testing.T) {
	var lines string
	for _, kind := range []string{"ADDED", "MODIFIED", "DELETED"} {
		lines += `{"type":"` + kind + `","object":` + kubernetesDeployment + "}\n"
	}
	for _, began := range []time.Time{epoch, epoch.AddDate(1, 0, 0)} { // before and behind the times in managedFields
		var last Item
		for item, err := range Sorted(readKubernetes(strings.NewReader(lines), Options{Time: began, Flags: map[string]string{"cluster": "c"}})) {
			if last = item; err != nil {
				t.Fatal(err)
			}
		}
		if last.Action != actionDelete || last.Kind != Inventory {
			t.Errorf("began %s: the last is %s %s", began, last.Kind, last.Action)
		}
	}
}

func FuzzKubernetes(f *testing.F) {
	good, _ := mustDecode(kubernetesDeployment).(object)
	seeds := [][]byte{[]byte(`{"items":[` + kubernetesDeployment + `],"kind":"List"}`), []byte(`{"type":"DELETED","object":` + kubernetesDeployment + `}`)}
	fuzz(f, func(r reader, o Options) seq {
		o.Flags, o.Time = map[string]string{"cluster": "c"}, epoch
		return readKubernetes(r, o)
	}, good, seeds, "items")
}
