// Package env reads the environment of a Lambda function, and reports all that is wrong with it at once.
//
//	vars := env.Read(os.LookupEnv)
//	topic := vars.Required("TOPIC_ARN", "the topic that changes are published to")
//	if err := vars.Err(); err != nil { ... }
package env

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Vars reads variables and remembers problems. It is not safe for concurrent use.
type Vars struct {
	lookup   func(string) (string, bool)
	problems []error
}

// Read begins to read; lookup is [os.LookupEnv], or a test's.
func Read(lookup func(string) (string, bool)) *Vars { return &Vars{lookup: lookup} }

// Required is a variable that must be there and not blank; meaning says what it is for.
func (v *Vars) Required(name, meaning string) string {
	value := v.text(name)
	if value == "" {
		v.problems = append(v.problems, fmt.Errorf("%s is missing: set it to %s", name, meaning))
	}
	return value
}

// Int is a whole number, or standard where the variable is missing or blank.
func (v *Vars) Int(name string, standard int) int {
	value := v.text(name)
	if value == "" {
		return standard
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		v.problems = append(v.problems, fmt.Errorf("%s=%q is not a whole number", name, value))
	}
	return n
}

// IntUpTo is a whole number from 0 to most; 0 where the variable is missing or blank.
func (v *Vars) IntUpTo(name string, most int) int {
	n := v.Int(name, 0)
	if n < 0 || n > most {
		v.problems = append(v.problems, fmt.Errorf("%s=%d: use 0 to %d", name, n, most))
	}
	return n
}

// Number is a number, or 0 where the variable is missing or blank.
func (v *Vars) Number(name string) float64 {
	value := v.text(name)
	if value == "" {
		return 0
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		v.problems = append(v.problems, fmt.Errorf("%s=%q is not a number", name, value))
	}
	return n
}

// Err joins all problems so far; nil if there are none.
func (v *Vars) Err() error {
	if len(v.problems) == 0 {
		return nil
	}
	return fmt.Errorf("read environment: %w", errors.Join(v.problems...))
}

func (v *Vars) text(name string) string {
	value, _ := v.lookup(name)
	return strings.TrimSpace(value)
}
