package operate

import (
	"cmp"
	"slices"
	"strings"
)

// Closest returns up to 3 of the names that look like a mistyped one, the closest first: those that contain it, and
// those that a few edits turn into it.
func Closest(mistyped string, names []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	for _, name := range names {
		a, b := strings.ToLower(mistyped), strings.ToLower(name)
		d := distance(a, b)
		if d <= max(2, len(a)/4) || len(a) >= 3 && strings.Contains(b, a) {
			found = append(found, candidate{name, d})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	closest := []string{}
	for _, c := range found[:min(3, len(found))] {
		closest = append(closest, c.name)
	}
	return closest
}

// distance is the Levenshtein distance: how many bytes to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
