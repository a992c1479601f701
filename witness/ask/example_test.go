package ask_test

import (
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/witness"
	"github.com/conmotion/conmotion/witness/ask"
)

// A policy that the log cannot meet is refused before anything is published.
func ExampleNew() {
	p, err := witness.ParsePolicy([]byte("witness w witness.example+23dae7dd+BIG0Jqp7npawI/R2XqeHrrQCcMoT6JwGPA6+T0KrZXuT\nquorum w\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = ask.New(p, "log.example+b27017ef+AbJ3FIvadSjGEtrJcCqFtqD7z6KyxXKRE69YadPiRdCc", ask.Options{})
	fmt.Println(errors.Is(err, witness.ErrPolicy))
	// Output: true
}
