/* SPDX-License-Identifier: Apache-2.0 */
/* ankerl/unordered_dense.h - the library of this name is not in Debian: its map and set for mediasoup's worker, by Abseil's flat tables,
 * which mediasoup itself used before (3.19). What differs for its users: erase() of an iterator returns the next one. */
#pragma once
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <iterator>

namespace ankerl::unordered_dense
{
    template<class T>
    using hash = absl::Hash<T>;

    template<class Table>
    class table : public Table
    {
    public:
        using Table::erase;
        using Table::Table;

        typename Table::iterator erase(typename Table::iterator at)
        {
            auto next = std::next(at);
            Table::erase(at);
            return next;
        }
    };

    template<class K, class V, class H = absl::container_internal::hash_default_hash<K>, class E = absl::container_internal::hash_default_eq<K>>
    using map = table<absl::flat_hash_map<K, V, H, E>>;
    template<class K, class H = absl::container_internal::hash_default_hash<K>, class E = absl::container_internal::hash_default_eq<K>>
    using set = table<absl::flat_hash_set<K, H, E>>;
} // namespace ankerl::unordered_dense
