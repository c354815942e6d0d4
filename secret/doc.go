// Package secret finds upstream credentials and user passwords where
// configuration points: an environment variable, a file, the output of a
// command. It also keeps the gateway's own symmetric keys in the data folder.
//
// A [Ref] says where; [Ref.Resolve] returns an [access.Secret], which no logger
// prints. Nothing is cached: a rotated file or variable is seen at the next
// call. A missing or empty secret is an error, never an empty password. Errors
// name the place (variable, path, program), not the content: not even the
// program's own error output, which might hold it.
//
// Other sources (a vault) are a field of Ref and a case in Resolve.
package secret
