package lambdaenv_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags/internal/lambdaenv"
)

func TestFreezes(t *testing.T) {
	for name, c := range map[string]struct {
		function, concurrency string
		freezes               bool
	}{
		"a service":                          {"", "", false},
		"a Lambda function":                  {"checkout", "", true},
		"Lambda Managed Instances":           {"checkout", "16", false},
		"Lambda Managed Instances, one slot": {"checkout", "1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_LAMBDA_FUNCTION_NAME", c.function)
			t.Setenv("AWS_LAMBDA_MAX_CONCURRENCY", c.concurrency)
			assert.Equal(t, c.freezes, lambdaenv.Freezes())
		})
	}
}
