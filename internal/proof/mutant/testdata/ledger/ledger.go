// Package ledger is a product to plant faults in.
package ledger

// Sum adds up amounts.
func Sum(amounts ...int) int {
	total := 0
	for _, amount := range amounts {
		total += amount
	}
	return total
}

// Unused is what no test looks at.
func Unused() int { return 1 }
