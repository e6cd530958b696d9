package table_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/spy"
	"github.com/warmflags/warmflags/internal/table"
)

const features, segments = "features", "segments"

func open(api table.API, prefix string) *table.Environment {
	return &table.Environment{Client: api, Table: spy.Table, Prefix: prefix}
}

// initialize makes the table equal to the data, as dynamostore's Init does: it also writes lower versions.
func initialize(t *testing.T, e *table.Environment, all []table.Collection) error {
	t.Helper()
	d, err := e.Compare(t.Context(), all)
	if err != nil {
		return err
	}
	_, err = e.Write(t.Context(), d, table.WriteOptions{Lower: true})
	return err
}

// item makes a flag or segment. Equal arguments make equal items.
func item(key string, version int) table.Item {
	return table.Item{Key: key, Version: version, JSON: fmt.Sprintf(`{"key":%q,"version":%d,"salt":"s"}`, key, version)}
}

func tombstone(key string, version int) table.Item {
	return table.Item{Key: key, Version: version, Deleted: true,
		JSON: fmt.Sprintf(`{"version":%d,"deleted":true}`, version)}
}

// data makes an environment from "flag:version" words, and the one segment "everyone".
func data(flags ...string) []table.Collection {
	all := []table.Collection{{Kind: segments, Items: []table.Item{item("everyone", 1)}}, {Kind: features}}
	for _, f := range flags {
		var key string
		var version int
		_, _ = fmt.Sscanf(strings.Replace(f, ":", " ", 1), "%s %d", &key, &version)
		all[1].Items = append(all[1].Items, item(key, version))
	}
	return all
}

// many makes n flags of version 1. The map change has other versions, by the flag's number.
func many(n int, change map[int]int) []table.Collection {
	words := make([]string, n)
	for i := range words {
		version := 1
		if v, ok := change[i]; ok {
			version = v
		}
		words[i] = fmt.Sprintf("flag-%03d:%d", i, version)
	}
	return data(words...)
}

// flags returns the versions of the table's flags by key.
func flags(t *testing.T, e *table.Environment) map[string]int {
	t.Helper()
	m := map[string]int{}
	require.NoError(t, e.EachRow(t.Context(), features, func(key string, r table.Row) {
		i, err := table.ParseRow(r)
		require.NoError(t, err)
		m[key] = i.Version
	}))
	return m
}

// bare returns entries without their JSON.
func bare(entries []table.Entry) (all []table.Entry) {
	for _, e := range entries {
		e.Old, e.New = "", ""
		all = append(all, e)
	}
	return all
}

func keys(entries []table.Entry) (all []string) {
	for _, e := range entries {
		all = append(all, e.Key)
	}
	return all
}
