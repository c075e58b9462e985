package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	classifier "github.com/google/licenseclassifier/v2"
	"github.com/google/licenseclassifier/v2/assets"
)

const noAssertion = "NOASSERTION"

// licenses knows licences by their texts.
type licenses struct{ known *classifier.Classifier }

func newLicenses() (licenses, error) {
	known, err := assets.DefaultClassifier()
	return licenses{known}, err
}

// of is what the licence files of a folder say, as an SPDX expression, or NOASSERTION.
func (l licenses) of(folder string) (string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "LICEN[CS]E*"))
	if err != nil {
		return "", err
	}
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		for _, match := range l.known.Match(text).Matches {
			if match.MatchType == "License" {
				names = append(names, match.Name)
			}
		}
	}
	if len(names) == 0 {
		return noAssertion, nil
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " AND "), nil
}
