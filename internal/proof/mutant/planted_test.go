//go:build prove

package mutant_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

const folder = "testdata/ledger"

func edit(old, replacement string) []mutant.Edit {
	return []mutant.Edit{{File: "ledger.go", Old: old, New: replacement}}
}

var suite = mutant.Suite{Package: folder, Run: "^TestSum$"}

func TestPlantedFaultsAreEachNoticed(t *testing.T) {
	before, err := os.ReadFile(folder + "/ledger.go")
	require.NoError(t, err)
	t.Run("suite", func(t *testing.T) {
		s := suite
		s.Mutants = []mutant.Mutant{
			{"subtracts", edit("+=", "-=")},
			{"panics", edit("total := 0", "total := 0; panic(amounts)")},
			{"two edits", append(edit("total := 0", "start := 1"), edit("for _,", "total := start\n\tfor _,")...)},
		}
		mutant.Check(t, s)
	})
	after, err := os.ReadFile(folder + "/ledger.go")
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after), "the checkout is left alone")
}

func TestPlantedFaultsThatSurviveAreErrors(t *testing.T) {
	cases := []struct {
		name   string
		edits  []mutant.Edit
		caught string
		err    error
	}{
		{"caught", edit("total := 0", "total := 1"), "Sum(1, 2, 3) = 7", nil},
		{"survived", edit("return 1", "return 2"), "", mutant.ErrSurvived},
		{"no fault", nil, "", mutant.ErrSurvived},
		{"does not compile", edit("total := 0", ""), "", mutant.ErrBuild},
		{"text is not there", edit("sum := 0", ""), "", mutant.ErrText},
		{"text is there twice", edit("total", "sum"), "", mutant.ErrText},
		{"file is not there", []mutant.Edit{{File: "book.go"}}, "", os.ErrNotExist},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			caught, err := suite.Try(t.Context(), mutant.Mutant{Name: c.name, Edits: c.edits}, t.TempDir())
			require.ErrorIs(t, err, c.err)
			assert.Contains(t, caught, c.caught)
		})
	}
}

// A fault that the test notices only in some runs is caught, and the text says in which run.
func TestPlantedFaultsMayBeMissedAtFirst(t *testing.T) {
	first := filepath.Join(t.TempDir(), "first")
	fault := mutant.Mutant{Edits: append(edit("package ledger\n", "package ledger\n\nimport \"os\"\n"),
		edit("total := 0",
			"total := 0\n\tif os.Mkdir("+strconv.Quote(first)+", 0o700) != nil {\n\t\ttotal = 1\n\t}")...)}
	caught, err := suite.Try(t.Context(), fault, t.TempDir())
	require.NoError(t, err)
	assert.Contains(t, caught, "in run 2: ")
	assert.Contains(t, caught, "Sum(1, 2, 3) = 7")
}

func TestPlantedFaultsMayHangTheTest(t *testing.T) {
	s := suite
	s.Timeout = 1
	caught, err := s.Try(t.Context(), mutant.Mutant{Edits: edit("total := 0", "total := 0; for {}")}, t.TempDir())
	require.NoError(t, err)
	assert.Contains(t, caught, "panic: test timed out")
}

func TestPlantedFaultsAreNotPlantedByThemselves(t *testing.T) {
	t.Setenv("WARMFLAGS_MUTANT", "1")
	_, err := suite.Try(t.Context(), mutant.Mutant{Edits: edit("+=", "-=")}, t.TempDir())
	require.ErrorContains(t, err, "matches the test that plants the faults")
}

func Example() {
	t := new(testing.T) // in a test: its own
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestSim$", Mutants: []mutant.Mutant{
		{Name: "the entry is dropped on an error", Edits: []mutant.Edit{
			{File: "item.go", Old: "keep(entry)", New: "drop(entry)"},
		}},
	}})
}
