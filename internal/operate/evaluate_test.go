package operate_test

import (
	"crypto/sha256"
	"encoding/base64"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
)

const child = `{"key":"child","version":1,"on":true,"variations":["yes","no"],"fallthrough":{"variation":0},
	"offVariation":1,	"prerequisites":[{"key":"parent","variation":0}]}`

// The other reasons are in cmd/warmflags/testdata/evaluate.txtar.
func TestEvaluateTakesADeletedPrerequisiteForMissing(t *testing.T) {
	s := newShelf(t)
	s.put(t, operate.Features, "child", 1, child)
	s.put(t, operate.Features, "parent", 1,
		`{"key":"parent","version":1,"on":true,"variations":[1],"fallthrough":{"variation":0}}`)
	evaluate := func() (*operate.Evaluation, error) {
		return operate.Evaluate(t.Context(), s.Environment, "child", ldcontext.New("ada"))
	}
	before := s.cloud.Calls("GetItem")
	e, err := evaluate()
	require.NoError(t, err)
	assert.JSONEq(t, `"yes"`, string(e.Value))
	assert.Equal(t, 2, s.cloud.Calls("GetItem")-before, "the flag and its prerequisite")

	s.put(t, operate.Features, "parent", 2,
		`{"key":"parent","version":2,"deleted":true,"on":true,"variations":[1],"fallthrough":{"variation":0}}`)
	e, err = evaluate()
	require.NoError(t, err)
	assert.JSONEq(t, `"no"`, string(e.Value))
	assert.Equal(t, "PREREQUISITE_FAILED", e.Reason)
	assert.Contains(t, e.Because, `prerequisite "parent" is not in the table`)

	s.put(t, operate.Features, "parent", 3, `{`)
	_, err = evaluate()
	require.ErrorContains(t, err, `read row "features" "parent"`)

	e, err = operate.Evaluate(t.Context(), s.Environment, "nothing", ldcontext.New("ada"))
	require.NoError(t, err)
	assert.Equal(t, "ERROR", e.Reason)
	_, err = operate.Evaluate(t.Context(), s.Environment, "child", ldcontext.New(""))
	require.Error(t, err, "an invalid context")
}

func TestEvaluateReadsBigSegments(t *testing.T) {
	s := newShelf(t)
	s.put(t, operate.Features, "f", 1, `{"key":"f","version":1,"on":true,"variations":["in","out"],
		"fallthrough":{"variation":1},
		"rules":[{"id":"r","variation":0,"clauses":[{"op":"segmentMatch","values":["big"]}]}]}`)
	s.put(t, operate.Segments, "big", 1, `{"key":"big","version":1,"unbounded":true,"generation":2}`)
	hash := sha256.Sum256([]byte("ada"))
	member := table.Key(layout.BigSegmentsUser, base64.StdEncoding.EncodeToString(hash[:]))
	member["included"] = &types.AttributeValueMemberSS{Value: []string{"big.g2"}}
	write := func(row table.Row) {
		_, err := s.cloud.DynamoDB.PutItem(
			t.Context(),
			&dynamodb.PutItemInput{TableName: aws.String("flags"), Item: row},
		)
		require.NoError(t, err)
	}
	write(member)
	evaluate := func(key string) *operate.Evaluation {
		e, err := operate.Evaluate(t.Context(), s.Environment, "f", ldcontext.New(key))
		require.NoError(t, err)
		return e
	}
	e := evaluate("ada")
	assert.JSONEq(t, `"in"`, string(e.Value))
	assert.Contains(t, e.Because, "the big segments are not up to date (STALE)", "nothing says when they were written")
	metadata := table.Key(layout.BigSegmentsMetadata, layout.BigSegmentsMetadata)
	metadata["synchronizedOn"] = table.Number(time.Now().UnixMilli())
	write(metadata)
	assert.Equal(t, `rule 1 of 1 (id "r") matched; variation 0 is served`, evaluate("ada").Because)
	assert.JSONEq(t, `"out"`, string(evaluate("bob").Value))
}
