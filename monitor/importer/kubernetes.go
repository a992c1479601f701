package importer

import (
	"encoding/json"
	"io"
	"iter"
	"maps"
	"strings"
	"time"

	"github.com/conmotion/conmotion/monitor/identity"
)

// readKubernetes converts objects of the Kubernetes API as kubectl prints them: a List, single objects one after the other,
// and the lines of a watch, {"type", "object"}.
//
// resources[0].uid is cluster, namespace, kind and name; uid_alt is metadata.uid. Options.Flags has the cluster's name,
// which no object says. An object says how it is: modify, with activity_id 2. So does ADDED of a watch, which begins with
// everything that there is. MODIFIED is modify and DELETED is delete, with activity_id 1. BOOKMARK says nothing and
// becomes nothing; ERROR is a Problem.
//
// The time is that of the newest change of managedFields that is not one of the status, where kubectl was asked for them
// (--show-managed-fields), else Options.Time. DELETED is at the latest of that, of when its deletion was asked for
// (metadata.deletionTimestamp), and of Options.Time. resourceVersion is not a time. The configuration is the object without its status and without what the API server keeps count of
// ([kubernetesNoise]): it changes without anybody changing the object.
func readKubernetes(r io.Reader, o Options) iter.Seq2[Item, error] {
	return convert(r, o, kubernetesLayout, kubernetesItem)
}

var kubernetesFormat = Format{
	Name: "kubernetes", Short: "Register Kubernetes' objects", Read: readKubernetes,
	Long: `Objects of the Kubernetes API, lists and watches of them, become inventory and
configuration records: the configuration is the object without its status. The
time is that of the last change in managedFields; without them --time says when
kubectl began.`,
	Tool: `kubectl get KINDS -A -o json --show-managed-fields
  kubectl get KIND -A -o json --show-managed-fields --watch --output-watch-events`,
	Flags: []Flag{{Name: "cluster", Usage: "name of the cluster, part of the identity of its objects", Required: true}},
}

var kubernetesLayout = layout{containers: []string{"items"}, more: []string{"metadata.continue"}}

// kubernetesNoise are members of metadata that the API server sets.
var kubernetesNoise = []string{"managedFields", "resourceVersion", "generation", "selfLink", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"}

// appliedBefore is the annotation in which kubectl apply keeps a copy of the object.
const appliedBefore = "kubectl.kubernetes.io/last-applied-configuration"

func kubernetesItem(m object, o Options) []draft {
	action, activity, word := actionModify, 2, ""
	if inner, ok := m["object"].(object); ok && m["kind"] == nil {
		switch word = text(m, "type"); word {
		case "ADDED":
		case "MODIFIED":
			activity = 1
		case "DELETED":
			action, activity = actionDelete, 1
		case "BOOKMARK":
			return nil
		case "ERROR":
			return problemf("the watch ended with an error: %.256q; begin a new one", text(inner, "message"))
		default:
			return problemf("unknown type %.64q of a watch", word)
		}
		m = inner
	}
	metadata, _ := m["metadata"].(object)
	kind, name, namespace := text(m, "kind"), text(metadata, "name"), text(metadata, "namespace")
	version := text(m, "apiVersion")
	if kind == "" || name == "" || version == "" {
		return problemf("not an object of Kubernetes: no apiVersion, kind or metadata.name; kubectl get -o json gives them")
	}
	if group, _, ok := strings.Cut(version, "/"); ok {
		kind += "." + group
	}
	cluster := o.Flags["cluster"]
	uid := text(metadata, "uid")
	id := identity.Of(identity.Source{Provider: "kubernetes", Account: cluster, Namespace: namespace, Type: kind, UID: name, Name: name})
	a := asset{
		format: "kubernetes", own: "object", source: digest(list{cluster, m, word}), activity: activity, code: word,
		product:  object{"name": "Kubernetes", "vendor_name": "Kubernetes"},
		cloud:    object{"provider": "kubernetes", "account": object{"uid": cluster, "type": "Kubernetes Cluster", "type_id": 99}},
		resource: object{"uid": id, "name": name, "type": kind},
	}
	set(a.resource, "uid_alt", uid)
	set(a.resource, "namespace", namespace)
	last := changed(metadata)
	if action == actionDelete {
		last = deleted(metadata, last, o.Time)
	}
	if reason := a.at(o, last); reason != "" {
		return problemf("%s", reason)
	}
	if t, ok := millis(metadata["creationTimestamp"]); ok {
		a.resource["created_time"] = t
	}
	if labels, ok := pairs(metadata["labels"]); ok && len(labels) > 0 {
		a.resource["tags"] = labels
	}
	if action == actionDelete {
		return a.events(action, true, []config{{name: a.own, data: object{a.own: nil}}}, nil)
	}
	return a.events(action, true, []config{{name: a.own, data: object{a.own: specified(m, metadata)}}}, nil)
}

// changed is the time of the newest change that is not one of a status, as text; "" where that is not known.
func changed(metadata object) (newest string) {
	var at int64
	fields, _ := metadata["managedFields"].(list)
	for _, v := range fields {
		f, _ := v.(object)
		if t, ok := millis(f["time"]); ok && text(f, "subresource") != "status" && t >= at {
			newest, at = text(f, "time"), t
		}
	}
	return newest
}

// deleted is when an object was gone, as far as is known: not before its deletion was asked for, its last change, or the
// beginning of the watch, so that what the watch said of it before is not after it. deletionTimestamp is "the time at which
// the object should be deleted", deletionGracePeriodSeconds after it was asked for.
func deleted(metadata object, last string, began time.Time) string {
	grace, _ := metadata["deletionGracePeriodSeconds"].(json.Number)
	seconds, _ := grace.Int64()
	asked, ok := millis(metadata["deletionTimestamp"])
	if asked -= seconds * 1000; ok && asked > began.UnixMilli() {
		began = time.UnixMilli(asked)
	}
	if at, ok := millis(last); began.IsZero() || ok && at > began.UnixMilli() {
		return last
	}
	return began.UTC().Format(time.RFC3339Nano)
}

// specified is an object without its status and what is kept count of.
func specified(m, metadata object) object {
	m, metadata = compact(maps.Clone(m)), compact(maps.Clone(metadata))
	delete(m, "status")
	for _, name := range kubernetesNoise {
		delete(metadata, name)
	}
	if annotations, ok := metadata["annotations"].(object); ok && annotations[appliedBefore] != nil {
		annotations = maps.Clone(annotations)
		delete(annotations, appliedBefore)
		metadata["annotations"] = annotations
	}
	m["metadata"] = metadata
	return m
}
