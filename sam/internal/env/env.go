// Package env reads the environment variables of a Lambda function, and reports all wrong ones together.
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

// Vars reads variables and collects problems. It is not safe for concurrent use.
type Vars struct {
	lookup   func(string) (string, bool)
	problems []error
}

// Read returns Vars that read with lookup, which is [os.LookupEnv] except in tests.
func Read(lookup func(string) (string, bool)) *Vars { return &Vars{lookup: lookup} }

// Required returns a variable that must be set and not blank. The error for a missing one has the text meaning.
func (v *Vars) Required(name, meaning string) string {
	value := v.text(name)
	if value == "" {
		v.problems = append(v.problems, fmt.Errorf("%s is missing: set it to %s", name, meaning))
	}
	return value
}

// Int returns a whole number, or defaultValue if the variable is missing or blank.
func (v *Vars) Int(name string, defaultValue int) int {
	value := v.text(name)
	if value == "" {
		return defaultValue
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		v.problems = append(v.problems, fmt.Errorf("%s=%q is not a whole number", name, value))
	}
	return n
}

// IntUpTo returns a whole number from 0 to limit, or 0 if the variable is missing or blank.
func (v *Vars) IntUpTo(name string, limit int) int {
	n := v.Int(name, 0)
	if n < 0 || n > limit {
		v.problems = append(v.problems, fmt.Errorf("%s=%d: use 0 to %d", name, n, limit))
	}
	return n
}

// Number returns a number, or 0 if the variable is missing or blank.
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

// Err returns all problems so far in one error, or nil if there are none.
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
