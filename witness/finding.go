package witness

// Finding is the outcome of one check, or one failure of it.
type Finding struct {
	Check  string `json:"check"`
	Result string `json:"result"` // OK, Failed or NotChecked
	Detail string `json:"detail"`
}

// Results of a check.
const (
	OK         = "ok"
	Failed     = "failed"
	NotChecked = "not checked"
)
