// Reading some of the vault's secrets, each by itself. They must be there: nothing here makes one, or knows what it holds.
param vault string
param names array
param principal string

var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

resource within 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vault
}

resource secrets 'Microsoft.KeyVault/vaults/secrets@2024-11-01' existing = [for name in names: {
  parent: within
  name: name
}]

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (name, i) in names: {
  name: guid(within.id, name, principal, secretsUser)
  scope: secrets[i]
  properties: {
    principalId: principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
  }
}]
