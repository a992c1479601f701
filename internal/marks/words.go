package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// phrases are what nobody would say aloud, and what to write in their place.
var phrases = []struct {
	is   *regexp.Regexp
	what string
}{
	{regexp.MustCompile(`\b(not )?to be had\b`), "is available, is not served"},
	{regexp.MustCompile(`(?i)\b(the|an) own (log|service|inventory|asset|issuer|key|party|one|statement)s?\b`), "your log, their log, the log itself"},
	{regexp.MustCompile(`(?i)\bfor who (no |does|has|knows|want|read|ask|acknowledge)|[,:] who has it can\b`), "for those who, whoever, or name them"},
	{regexp.MustCompile(`\b(goes|go|went) on behind\b`), "continues after"},
	{regexp.MustCompile(`\b(says|tells) whether\b`), "reports whether"},
	{regexp.MustCompile(`\bdoes not get on\b`), "does not advance"},
	{regexp.MustCompile(`\b(is|are) no (longer )?(JSON|CBOR|URL|number|object|string|integer|directory|file|digest|index|record|statement|receipt|checkpoint|policy|key|event|measurement|artifact|log|type|value)s?\b`), "is not a ..."},
	{regexp.MustCompile(`\bhardly meant\b`), "probably not intended"},
	{regexp.MustCompile(`\b(is|are) (a )?part of no\b`), "is not part of a"},
	{regexp.MustCompile(`\bone behind the other\b`), "one after the other"},
	{regexp.MustCompile(`(?i)\b(gap|violation|anomaly|anomalies|artifacts|which|that) (is|are) told\b|\b(is|are) told (once|too|all the same|and (not|named))\b`), "is reported"},
	{regexp.MustCompile(`\bby himself\b|\bhis (key|log|own)\b`), "by itself, their"},
}

// thereIs is good English before what phrases do not allow elsewhere.
var thereIs = regexp.MustCompile(`(?i)\bthere (is|are) no\b`)

// words finds phrases that are not plain English in the module's code, help,
// documents and scripts.
func words(root string) (broken []string, err error) {
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && name != "." && (name[0] == '.' || d.Name() == "node_modules" || d.Name() == "marks") {
			return fs.SkipDir
		}
		if err != nil || !slices.Contains([]string{".go", ".md", ".tmpl", ".txtar"}, path.Ext(name)) {
			return err
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		for i, line := range strings.Split(string(data), "\n") {
			line = thereIs.ReplaceAllString(line, "")
			for _, p := range phrases {
				if found := p.is.FindString(line); found != "" {
					broken = append(broken, fmt.Sprintf("%s:%d says %q; write: %s", name, i+1, found, p.what))
				}
			}
		}
		return err
	})
	slices.Sort(broken)
	return broken, err
}
