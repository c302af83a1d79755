// Package conf reads job files: native YAML, checked strictly, with defaults filled in. Errors name the file, the line,
// the key, what is wrong and what is allowed. It knows nothing of stores or of the cluster: it yields a Job, and cmd
// gives that its meaning.
package conf
