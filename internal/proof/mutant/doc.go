// Package mutant proves that a test can fail: it plants a fault in a copy of the source and requires that the test
// fails.
//
// A [Mutant] is a named fault, as replacements of text. [Check] builds the package's tests once without changes and
// once with each mutant. It uses the go command's -overlay flag, so it does not change the checkout, and the product
// code needs no switches for tests. The tests must pass without changes and fail with each mutant, in one
// of three runs:
//
//	//go:build prove
//
//	func TestPlantedFaults(t *testing.T) {
//		mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestSim$", Mutants: []mutant.Mutant{
//			mutant.Fault("the entry is dropped on an error", "item.go", "keep(entry)", "drop(entry)"),
//		}})
//	}
//
// A mutant that does not compile, or whose text does not occur exactly once in the source, is a separate error: it
// proves nothing about the test and must be rewritten. The package needs only the go command.
//
// Building and running a test for each fault takes minutes. Tests that call Check are therefore in a file
// planted_test.go with the build tag prove, and their names begin with TestPlantedFaults: "make planted" runs them,
// and "make test" does not.
package mutant
