// Package mutant proves that a test can fail: it plants a fault in a copy of the product's source, and demands
// that the test notices.
//
// A [Mutant] is a named fault, as replacements of text. [Check] builds the package's tests once as they are and
// once with each mutant, by the go command's -overlay flag, so that nothing in the checkout is touched and no
// product code has a switch for tests. The first must pass and all others must fail:
//
//	//go:build prove
//
//	func TestPlantedFaults(t *testing.T) {
//		mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestSim$", Mutants: []mutant.Mutant{
//			mutant.Fault("the entry is dropped on an error", "item.go", "keep(entry)", "drop(entry)"),
//		}})
//	}
//
// A mutant that does not compile, or whose text is not in the source exactly once, is an error of its own kind:
// it proves nothing about the test, and must be rewritten. It needs the go command only.
//
// A build and a run of a test for each fault take minutes. So tests that call Check stand in a file planted_test.go
// with the build tag prove, and have names that begin with TestPlantedFaults: "make planted" runs them, "make test"
// does not.
package mutant
