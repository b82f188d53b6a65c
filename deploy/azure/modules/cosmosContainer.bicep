// One container, and the services that may read and write its items.
param account string
param database string
param container object
param principals object

var dataContributor = '00000000-0000-0000-0000-000000000002'

resource within 'Microsoft.DocumentDB/databaseAccounts@2024-11-15' existing = {
  name: account
}

resource zekt 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2024-11-15' existing = {
  parent: within
  name: database
}

resource made 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2024-11-15' = {
  parent: zekt
  name: container.name
  properties: {
    resource: {
      id: container.name
      partitionKey: {
        kind: 'Hash'
        version: 2
        paths: [
          container.partitionKey
        ]
      }
      indexingPolicy: container.indexingPolicy
      defaultTtl: container.defaultTtl
    }
  }
}

@batchSize(1)
resource access 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = [for owner in container.owners: {
  parent: within
  name: guid(made.id, principals[owner], dataContributor)
  properties: {
    principalId: principals[owner]
    roleDefinitionId: '${within.id}/sqlRoleDefinitions/${dataContributor}'
    scope: '${within.id}/dbs/${database}/colls/${made.name}'
  }
}]
