package testlog

import (
	"fmt"
	"testing"
)

// Example is the testing.TB of an example function, which has none: what
// would end a test panics.
type Example struct{ testing.TB }

// Helper implements [testing.TB].
func (Example) Helper() {}

// Fatal implements [testing.TB].
func (Example) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
