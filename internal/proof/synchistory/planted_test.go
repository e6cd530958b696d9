//go:build prove

package synchistory_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	const flagsync, table = "../../flagsync/", "../../table/"
	edit := func(file, from, to string) mutant.Edit { return mutant.Edit{File: file, Old: from, New: to} }
	plant := func(name string, edits ...mutant.Edit) mutant.Mutant { return mutant.Mutant{Name: name, Edits: edits} }
	take := "\t\tif b.token, err = s.environment.TakeToken(ctx); err != nil {\n\t\t\treturn nil, err\n\t\t}\n"
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^TestHistories$", Args: []string{"-sync.seeds=400"}, Timeout: 5 * time.Minute,
		Mutants: []mutant.Mutant{
			plant("the token is taken after the fetch",
				edit(flagsync+"flagsync.go", take, "\t\t_ = ctx\n"),
				edit(flagsync+"flagsync.go", "\treturn f, nil\n}\n\n// write writes",
					"\tif b.token, err = s.environment.TakeToken(ctx); err != nil {\n\t\tf.close()\n\t}\n"+
						"\treturn f, err\n}\n\n// write writes")),
			plant("the token is taken without an increase", edit(table+"token.go", "Number(1)}", "Number(0)}")),
			plant("only the first transaction checks the token",
				edit(table+"write.go", "e.transact(ctx, batch, o.Token, &done)",
					"e.transact(ctx, batch, o.Token*int64(1-min(1, rows)), &done)")),
			plant("transactions do not check the token",
				edit(flagsync+"flagsync.go", "WriteOptions{Token: b.token, ", "WriteOptions{")),
			plant("removals have no condition", edit(table+"transaction.go", "\tparts := []string{",
				"\tif w.action == remove {\n\t\treturn \"attribute_exists(#n)\", "+
					"map[string]string{\"#n\": layout.AttrNamespace}, nil\n\t}\n\tparts := []string{")),
			plant("a row that changed is removed anyway",
				edit(table+"write.go", "\t\tours = w.Was\n", "\t\tours = 1 << 30\n")),
			plant("a sync that writes nothing does not check its token",
				edit(table+"state.go", `"#v = :token", &token)`, `"#v >= :token", &token)`)),
			plant("lower versions are written", edit(flagsync+"flagsync.go", "Lower: s.force", "Lower: true")),
			plant("no guard", edit(flagsync+"flagsync.go", "if whole && !s.force {", "if s.force {")),
			plant("patches are written as a payload",
				edit(flagsync+"flagsync.go", "\tif whole {\n\t\tcompare", "\tif len(data) > 0 {\n\t\tcompare")),
			plant("a payload is written as patches",
				edit(flagsync+"flagsync.go", "\tif whole {\n\t\tcompare", "\tif s.force {\n\t\tcompare")),
			plant("no payload counts as a payload",
				edit(flagsync+"feed.go", "\tcase received:\n", "\tcase received || limit > 0:\n")),
			plant("a failed request is acknowledged",
				edit(flagsync+"handler.go", "\tif l.failed {\n", "\tif l.unreadable {\n")),
			plant("what no retry can fix is retried",
				edit(flagsync+"handler.go", "\tif isFinal(err) {\n", "\tif isFinal(nil) {\n")),
		},
	})
}
