package main

import "fmt"

// print prints what was found about a statement.
func (v *verification) print() error {
	r := &v.report
	if v.JSON {
		return v.PrintJSON(r)
	}
	if r.EntryID != "" {
		rows := [][]string{{"entry id", r.EntryID}, {"issuer", r.Issuer}, {"subject", r.Subject}, {"signed", r.Signed}}
		if err := v.PrintRows(rows); err != nil {
			return err
		}
		fmt.Fprintln(v.Stdout)
	}
	var rows [][]string
	for _, c := range r.Checks {
		rows = append(rows, []string{c.Result, c.Check, c.Detail})
	}
	result := "verified"
	switch {
	case r.Verified:
	case v.unsure != nil && r.Error == v.unsure.Error():
		result = "NO VERDICT"
	default:
		result = "NOT VERIFIED"
	}
	if err := v.PrintRows(rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(v.Stdout, "\n%s\n", result)
	return err
}
