package monitor

import "slices"

// Severity is the caption of OCSF's severity_id: Informational, Low, Medium, High or Critical. The scale is the same
// wherever something is judged: in a measurement, a report and an alert. docs/monitoring.md has it as a table.
type Severity string

// The severities.
const (
	Informational Severity = "Informational"
	Low           Severity = "Low"
	Medium        Severity = "Medium"
	High          Severity = "High"
	Critical      Severity = "Critical"
)

// Severities are the captions by severity_id - 1.
func Severities() []Severity { return []Severity{Informational, Low, Medium, High, Critical} }

// ID is OCSF's severity_id, 1 to 5; 0, which is Unknown there, for anything else.
func (s Severity) ID() int {
	return slices.Index(Severities(), s) + 1
}

// scoreSeverity is the severity of an impact score, which is that of the signed measurement.
func scoreSeverity(score int) Severity {
	switch {
	case score >= 70:
		return Critical
	case score >= 40:
		return High
	case score >= 10:
		return Medium
	case score > 0:
		return Low
	}
	return Informational
}

// Severity is that of the impact score, or Medium where a configuration drifts, or Low where something is missing, late,
// never observed, or may drift: whichever is worse.
func (m *Metrics) Severity() Severity {
	worst := scoreSeverity(m.impact())
	switch {
	case m.Drift > 0 && worst.ID() < Medium.ID():
		return Medium
	case m.Missing+m.Late+m.Phantom+m.Undisclosed > 0 && worst.ID() < Low.ID():
		return Low
	}
	return worst
}
