package testenv_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/testenv"
)

const folder = "../../../testdata"

func TestFilesAreWhatTheProgramMakes(t *testing.T) {
	files, err := testenv.Files()
	require.NoError(t, err)
	var names []string
	for _, f := range files {
		names = append(names, filepath.Join(folder, f.Name))
		data, err := os.ReadFile(filepath.Join(folder, f.Name))
		require.NoError(t, err, "run make testdata")
		assert.Equal(t, string(data), string(f.Data), "%s: run make testdata", f.Name)
	}
	found, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	assert.ElementsMatch(t, names, found, "run make testdata")
}

// Whatever is read is the environment again: nothing is lost in the wire format.
func TestEnvironmentsSurviveTheWireFormat(t *testing.T) {
	for _, e := range append(testenv.Small(), testenv.Large()...) {
		t.Run(e.Name, func(t *testing.T) {
			e.Flags = e.Flags[:min(len(e.Flags), 100)] // of 5,000 flags that are made alike
			data, err := e.JSON()
			require.NoError(t, err)
			var read struct {
				Flags    map[string]ldmodel.FeatureFlag
				Segments map[string]ldmodel.Segment
			}
			require.NoError(t, json.Unmarshal(data, &read))
			again := testenv.Environment{Name: e.Name}
			for _, f := range read.Flags {
				again.Flags = append(again.Flags, f)
			}
			for _, s := range read.Segments {
				again.Segments = append(again.Segments, s)
			}
			require.Len(t, again.Flags, len(e.Flags), "two flags of one key")
			require.Len(t, again.Segments, len(e.Segments))
			same, err := again.JSON()
			require.NoError(t, err)
			assert.Equal(t, string(data), string(same))
		})
	}
}

func TestEveryOperatorIsThere(t *testing.T) {
	used := map[ldmodel.Operator]bool{}
	for _, e := range testenv.Small() {
		for _, f := range e.Flags {
			for _, r := range f.Rules {
				for _, c := range r.Clauses {
					used[c.Op] = true
				}
			}
		}
	}
	for _, o := range []ldmodel.Operator{
		ldmodel.OperatorIn, ldmodel.OperatorEndsWith, ldmodel.OperatorStartsWith, ldmodel.OperatorMatches,
		ldmodel.OperatorContains,
		ldmodel.OperatorLessThan, ldmodel.OperatorLessThanOrEqual, ldmodel.OperatorGreaterThan,
		ldmodel.OperatorGreaterThanOrEqual,
		ldmodel.OperatorBefore, ldmodel.OperatorAfter, ldmodel.OperatorSegmentMatch,
		ldmodel.OperatorSemVerEqual, ldmodel.OperatorSemVerLessThan, ldmodel.OperatorSemVerGreaterThan,
	} {
		assert.True(t, used[o], o)
	}
}

func TestLargeIsLarge(t *testing.T) {
	large := testenv.Large()
	for _, c := range large[0].Collections() {
		for _, i := range c.Items {
			size := len(i.Item.SerializedItem)
			assert.LessOrEqual(t, size, 400<<10-150, i.Key)
			if i.Key != "in-heavy-list" {
				assert.Greater(t, size, 395<<10, i.Key)
			}
		}
	}
	assert.Len(t, large[1].Flags, 5000)
}

func TestContextsAreValidAndDifferent(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range testenv.Contexts() {
		require.NoError(t, c.Err())
		text := c.JSONString()
		require.False(t, seen[text], text)
		seen[text] = true
		var read ldcontext.Context
		require.NoError(t, json.Unmarshal([]byte(text), &read))
		assert.True(t, read.Equal(c), text)
	}
}

func ExampleEnvironment_JSON() {
	data, err := testenv.Small()[0].JSON()
	fmt.Print(string(data), err)
	// Output:
	// {"flags": {},
	// "segments": {}}
	// <nil>
}
