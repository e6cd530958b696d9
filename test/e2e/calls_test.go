package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type sqsName = sqstypes.QueueAttributeName

// checkCalls holds the calls that the gate saw to the list that sam/template_test.go holds the roles to.
func checkCalls(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root(), "sam", "calls.json"))
	require.NoError(t, err)
	var list map[string]struct{ Calls, Journal, NoJournal []string }
	require.NoError(t, json.Unmarshal(data, &list))
	for function, its := range list {
		made, must := world.gate.actionsOf(function), slices.Concat(its.Calls, its.Journal)
		assert.Subset(t, made, must, function)
		assert.Subset(t, slices.Concat(must, its.NoJournal), made, function)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}
