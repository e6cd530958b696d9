// Gen writes testdata/: go run ./internal/proof/testenv/gen testdata. It removes what does not belong there.
package main

import (
	"io/fs"
	"log"
	"os"

	"github.com/warmflags/warmflags/internal/proof/testenv"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: gen <folder>")
	}
	if err := write(os.Args[1]); err != nil {
		log.Fatal("gen: ", err)
	}
}

func write(folder string) error {
	files, err := testenv.Files()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	old, err := fs.Glob(root.FS(), "*.json")
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := root.Remove(name); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := root.WriteFile(f.Name, f.Data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
